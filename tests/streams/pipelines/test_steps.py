"""Stages one after the other and in parallel: what each is told, when it starts, how the whole ends."""

from __future__ import annotations

from pathlib import Path

import pytest

from penstock.artifacts import ArtifactStore
from penstock_schemas import records as r
from tests.streams.partition import kinds, only
from tests.streams.pipelines.flow import (
    PIPELINE,
    Flow,
    execution_of,
    finish,
    reserved,
    spec,
    start,
    started,
)

CHAIN = (spec("research", 0), spec("write", 1), spec("review", 2))
DIAMOND = (spec("plan", 0), spec("left", 1), spec("right", 1), spec("join", 2))


@pytest.fixture
def stored(tmp_path: Path) -> Flow:
    return Flow(ArtifactStore(str(tmp_path)))


def test_nothing_starts_before_its_cost_is_reserved():
    flow = Flow()
    assert kinds(flow.send(start(*CHAIN))) == ["ReservePipeline"]
    assert kinds(flow.send(reserved())) == ["PipelineStarted", "RequestExecution", "StageStarted"]


def test_a_reservation_is_answered_once():
    flow = Flow()
    flow.begin(*CHAIN)
    assert flow.send(reserved()) == []


def test_stages_run_one_after_the_other_each_told_what_the_one_before_said():
    flow = Flow()
    assert started(flow.begin(*CHAIN)) == ["research"]
    assert flow.told(0) == "begin"
    assert started(flow.send(finish(0, "facts"))) == ["write"]
    assert flow.told(1) == "facts"
    assert started(flow.send(finish(1, "text"))) == ["review"]
    completed = only(flow.send(finish(2, "good")), r.PipelineCompleted)
    assert (completed.output, completed.output_ref, completed.epoch) == ("good", None, 1)


def test_the_end_of_a_stage_counts_once():
    flow = Flow()
    flow.begin(*CHAIN)
    flow.send(finish(0))
    assert flow.send(finish(0)) == []
    assert flow.send(finish(2)) == []


def test_the_end_of_another_execution_counts_for_nothing():
    flow = Flow()
    flow.begin(*CHAIN)
    assert flow.send(finish(0).model_copy(update={"execution_id": "another"})) == []


def test_the_end_releases_the_reservation_after_everything():
    flow = Flow()
    flow.begin(spec("only", 0))
    assert kinds(flow.send(finish(0))) == ["StageCompleted", "PipelineCompleted", "ReleasePipeline"]


def test_a_parallel_step_starts_at_once_and_is_joined_once():
    flow = Flow()
    flow.begin(*DIAMOND)
    assert started(flow.send(finish(0))) == ["left", "right"]
    assert started(flow.send(finish(2, "R"))) == []
    assert started(flow.send(finish(1, "L"))) == ["join"]
    assert flow.told(3) == "## left\n\nL\n\n## right\n\nR"


@pytest.mark.parametrize("order", [(1, 2, 3), (3, 2, 1), (2, 3, 1)])
def test_branches_may_end_in_any_order_and_are_joined_in_that_of_the_definition(order: tuple[int, ...]):
    flow = Flow()
    flow.begin(spec("a", 0), *(spec(f"b{n}", 1) for n in (1, 2, 3)), spec("c", 2))
    flow.send(finish(0))
    written = [name for index in order for name in started(flow.send(finish(index)))]
    assert written == ["c"]
    assert flow.told(4) == "## b1\n\nout 1\n\n## b2\n\nout 2\n\n## b3\n\nout 3"


def test_a_template_is_filled_in_once_and_what_an_output_contains_stays_text():
    flow = Flow()
    template = "{previous_output}|{initial_input}|{outputs.plan}|{json: [1]}"
    flow.begin(spec("plan", 0), spec("next", 1), spec("last", 2, template))
    flow.send(finish(0, "{previous_output}"))
    flow.send(finish(1, "{initial_input}"))
    assert flow.told(2) == "{initial_input}|begin|{previous_output}|{json: [1]}"


def test_the_first_step_may_have_a_template_too():
    flow = Flow()
    flow.begin(spec("plan", 0, "Plan this: {initial_input}"))
    assert flow.told(0) == "Plan this: begin"


def test_a_stage_also_gets_what_every_earlier_stage_said():
    flow = Flow()
    flow.begin(*DIAMOND)
    assert flow.request(0).previous_outputs == []
    for index in (0, 1, 2):
        flow.send(finish(index))
    earlier = [(one.stage, one.output) for one in flow.request(3).previous_outputs]
    assert earlier == [("plan", "out 0"), ("left", "out 1"), ("right", "out 2")]


def test_a_request_carries_what_the_stage_asks_for_and_draws_from_the_pipelines_reservation():
    flow = Flow()
    flow.begin(
        spec("s", 0, queue="gpu", model="m", max_attempts=2, timeout_s=9, max_tokens=100), metadata={"a": "b"}
    )
    request = flow.request(0)
    assert (request.queue, request.model, request.max_attempts, request.timeout_s) == ("gpu", "m", 2, 9)
    assert (request.user_id, request.metadata, request.pipeline_id) == ("ann", {"a": "b"}, PIPELINE)
    (asked,) = flow.partition.all(r.ReservePipeline)
    assert request.reserve_tokens == sum(need.input_tokens + need.output_tokens for need in asked.needs)


def test_large_texts_travel_by_reference(stored: Flow):
    large = "x" * 5_000
    stored.begin(*CHAIN, initial_input=large)
    assert stored.text(stored.request(0).input_ref) == large
    events = stored.send(finish(0, large))
    assert stored.text(only(events, r.StageCompleted).output_ref) == large
    assert stored.text(stored.request(1).input_ref) == large
    assert stored.text(stored.request(1).previous_outputs[0].output_ref) == large
    assert not any(isinstance(event, r.WriteInputs) for event in events)  # it is passed on as it lies


def test_a_template_around_a_large_text_is_filled_in_by_way_of_the_store(stored: Flow):
    large = "x" * 5_000
    stored.begin(spec("a", 0), spec("b", 1, "Review: {previous_output} ({initial_input})"))
    stored.send(finish(0, large))
    assert stored.text(stored.request(1).input_ref) == f"Review: {large} (begin)"


def test_what_is_too_large_to_be_told_fails_the_stage_and_not_the_platform(stored: Flow):
    stored.begin(spec("a", 0), spec("b", 1, "{previous_output}" * 200))
    written = stored.send(finish(0, "x" * 50_000))
    assert only(written, r.StageFailed).error_type == "input_too_large"
    assert only(written, r.PipelineFailed).failed_at_stage == "b"


def test_an_output_that_cannot_be_read_fails_the_stage_that_is_told_it(stored: Flow):
    stored.begin(spec("a", 0), spec("b", 1, "> {previous_output}"))
    nowhere = r.PayloadRef(sha256="0" * 64, size=9_000, uri="file:///etc/passwd")
    written = stored.send(finish(0, output_ref=nowhere))
    assert only(written, r.StageFailed).error_type == "input_unreadable"


def test_a_fan_out_is_started_in_parts_and_joined_into_a_document(stored: Flow):
    branches = 400
    stored.begin(spec("a", 0), *(spec(f"b{n}", 1) for n in range(branches)), spec("c", 2))
    written = stored.partition.send(finish(0))
    assert 0 < len(started(written)) <= 125
    assert len(started(written + stored.partition.advance(0))) == branches
    for index in range(1, branches + 1):
        stored.send(finish(index, "y" * 3_000))
    request = stored.request(branches + 1)
    assert len(request.model_dump_json()) < 10_000
    assert stored.text(request.input_ref).count("y" * 3_000) == branches
    assert stored.text(request.previous_outputs_ref).count('"stage": "b') == branches
    assert max(len(str(row)) for row in stored.partition.rows.values()) < 5_000


def test_the_output_of_a_parallel_last_step_is_that_of_all_its_stages(stored: Flow):
    stored.begin(spec("a", 0), spec("b", 0))
    stored.send(finish(0, "1"))
    assert only(stored.send(finish(1, "2")), r.PipelineCompleted).output == "## a\n\n1\n\n## b\n\n2"


def test_the_output_of_a_large_last_step_is_a_document(stored: Flow):
    stored.begin(spec("a", 0), spec("b", 0))
    stored.send(finish(0, "1" * 5_000))
    completed = only(stored.send(finish(1, "2")), r.PipelineCompleted)
    assert stored.text(completed.output_ref) == f"## a\n\n{'1' * 5_000}\n\n## b\n\n2"


def test_every_event_names_pipeline_epoch_and_stage():
    flow = Flow()
    flow.begin(*CHAIN)
    event = only(flow.send(finish(0, used_tokens=7)), r.StageCompleted)
    assert (event.pipeline_id, event.epoch, event.stage_index, event.stage_name) == (PIPELINE, 1, 0, "research")
    assert (event.step, event.agent_type, event.execution_id) == (0, "echo", execution_of(0))
    assert event.used_tokens == 7
