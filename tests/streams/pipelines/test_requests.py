"""What is refused, repeated, cancelled, resumed and forgotten."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from penstock.artifacts import ArtifactStore
from penstock_schemas import records as r
from penstock_streams.pipelines.policy import KEPT_US
from tests.streams.partition import kinds, only
from tests.streams.pipelines.flow import (
    PIPELINE,
    Flow,
    cancel,
    execution_of,
    finish,
    refusals,
    reserved,
    resume,
    spec,
    start,
    started,
)

FAN = (spec("plan", 0), spec("b1", 1), spec("b2", 1), spec("b3", 1), spec("join", 2))

BAD: dict[str, tuple[r.StartPipeline, str]] = {
    "no stages": (start(), "no_stages"),
    "10,000 stages": (start(*(spec(f"s{n}", n) for n in range(10_000))), "too_many_stages"),
    "1,001 branches": (start(*(spec(f"s{n}", 0) for n in range(1_001))), "too_many_stages"),
    "two stages of one name": (start(spec("a", 0), spec("a", 1)), "duplicate_name"),
    "a placeholder that is none": (start(spec("a", 0), spec("b", 1, "{outputs.}")), "invalid_placeholder"),
    "an unknown stage": (start(spec("a", 0), spec("b", 1, "{outputs.x}")), "unknown_stage"),
    "its own output": (start(spec("a", 0), spec("b", 1, "{outputs.b}")), "refers_to_itself"),
    "a later one's": (start(spec("a", 0), spec("b", 1, "{outputs.c}"), spec("c", 2)), "refers_to_later"),
    "one beside it": (start(spec("a", 0), spec("b", 1, "{outputs.c}"), spec("c", 1)), "refers_to_own_group"),
    "nothing before it": (start(spec("a", 0, "{previous_output}")), "no_previous_output"),
    "an unknown queue": (start(spec("a", 0, queue="moon")), "unknown_queue"),
    "an agent that is no name": (start(spec("a", 0, agent_type="../x")), "invalid_request"),
    "no name": (start(spec("", 0)), "invalid_request"),
    "braces in a name": (start(spec("{x}", 0)), "invalid_request"),
    "files from outside": (start(spec("a", 0, artifacts=True, artifact_patterns=["../x"])), "invalid_artifacts"),
    "patterns for nothing": (start(spec("a", 0, artifact_patterns=["x"])), "invalid_artifacts"),
    "a branch that names no folder": (
        start(spec("a/b", 0, artifacts=True), spec("c", 0)),
        "invalid_artifacts",
    ),
    "33 branches that hand on": (
        start(*(spec(f"s{n}", 0, artifacts=True) for n in range(33))),
        "invalid_artifacts",
    ),
    "no attempts": (start(spec("a", 0, max_attempts=0)), "invalid_request"),
    "a run of two days": (start(spec("a", 0, timeout_s=200_000)), "invalid_request"),
    "negative tokens": (start(spec("a", 0, max_tokens=-1)), "invalid_request"),
    "a template of 40 KiB": (start(spec("a", 0, "x" * 40_000)), "invalid_request"),
    "steps with a gap": (start(spec("a", 0), spec("b", 2)), "invalid_request"),
    "steps backwards": (start(spec("a", 1), spec("b", 0)), "invalid_request"),
    "a negative step": (start(spec("a", -1)), "invalid_request"),
    "300 KiB of input": (start(spec("a", 0), initial_input="x" * 300_000), "input_too_large"),
    "metadata of 9 KiB": (start(spec("a", 0), metadata={"k": "v" * 9_000}), "invalid_request"),
    "an id of its own choice": (start(spec("a", 0), pipeline_id="mine"), "invalid_request"),
    "the platform's tenant": (start(spec("a", 0), tenant_id=r.SYSTEM_TENANT), "invalid_request"),
}


@pytest.mark.parametrize("what", BAD)
def test_what_cannot_be_run_is_refused_and_leaves_nothing(what: str):
    asked, reason = BAD[what]
    flow = Flow()
    refused = only(flow.send(asked), r.PipelineRequestRefused)
    assert (refused.reason, refused.refused_event_id) == (reason, "e-r1")
    assert refused.detail
    assert flow.partition.rows == {}
    assert flow.partition.timers == {}


def test_the_largest_pipeline_is_taken():
    """The control of the limits above."""
    flow = Flow()
    branches = [spec(f"s{n}", 0) for n in range(1_000)]
    assert kinds(flow.send(start(*branches, *(spec(f"t{n}", n + 1) for n in range(200))))) == ["ReservePipeline"]


def test_a_repeated_request_is_answered_once_and_a_different_one_is_refused():
    flow = Flow()
    flow.begin(*FAN)
    assert flow.send(start(*FAN, event_id="again")) == []
    refused = only(flow.send(start(*FAN, initial_input="other", event_id="other")), r.PipelineRequestRefused)
    assert (refused.reason, refused.refused_event_id) == ("duplicate_mismatch", "other")


def test_what_accounts_refuses_never_starts_and_is_not_asked_again():
    flow = Flow()
    flow.send(start(*FAN))
    refused = r.PipelineReservationRefused(
        tenant_id="acme", pipeline_id=PIPELINE, epoch=1, reason="budget_exceeded", detail="too much"
    )
    assert refusals(flow.send(refused)) == ["budget_exceeded"]
    assert flow.send(refused) == []
    assert flow.send(start(*FAN)) == []
    assert refusals(flow.send(resume())) == ["not_found"]


@pytest.mark.parametrize("ask", [cancel, resume])
@pytest.mark.parametrize("who", [{"tenant_id": "other"}, {"user_id": "bob"}, {"pipeline_id": "unknown"}])
def test_what_belongs_to_another_does_not_exist(ask: Any, who: dict[str, str]):
    flow = Flow()
    flow.begin(*FAN)
    assert refusals(flow.send(ask(**who))) == ["not_found"]


def test_the_owner_and_the_tenant_may_ask():
    """The control of the test above."""
    for who in ({"user_id": "ann"}, {"user_id": None}):
        flow = Flow()
        flow.begin(*FAN)
        assert kinds(flow.send(cancel(**who))) == ["CancelExecution"]


def test_a_failed_branch_stops_the_others_and_the_pipeline_fails_once_they_have_ended():
    flow = Flow()
    flow.begin(*FAN)
    flow.send(finish(0))
    written = flow.send(finish(2, status="failed"))
    assert {one.execution_id for one in written if isinstance(one, r.CancelExecution)} == {
        execution_of(1),
        execution_of(3),
    }
    assert not any(isinstance(one, r.PipelineFailed) for one in written)
    assert kinds(flow.send(finish(3, status="cancelled"))) == ["StageFailed"]
    written = flow.send(finish(1))
    assert kinds(written) == ["StageCompleted", "PipelineFailed", "ReleasePipeline"]
    failed = only(written, r.PipelineFailed)
    assert (failed.failed_at_stage, failed.stage_index, failed.error_type, failed.error) == (
        "b2",
        2,
        "Boom",
        "it broke",
    )


@pytest.mark.parametrize("status", ["failed", "timed_out", "rejected", "cancelled"])
def test_whatever_end_without_a_result_fails_the_pipeline(status: str):
    flow = Flow()
    flow.begin(*FAN)
    written = flow.send(finish(0, status=status))
    assert only(written, r.StageFailed).status == status
    assert only(written, r.PipelineFailed).failed_at_stage == "plan"


def test_a_resumed_pipeline_runs_again_what_failed_and_keeps_what_was_completed():
    flow = Flow()
    flow.begin(*FAN)
    flow.send(finish(0))
    flow.send(finish(1, "kept"))
    flow.send(finish(2, status="failed"))
    flow.send(finish(3, status="cancelled"))
    asked = only(flow.send(resume()), r.ReservePipeline)
    assert asked.epoch == 2
    written = flow.send(reserved(2))
    assert only(written, r.PipelineResumed).step == 1
    assert started(written) == ["b2", "b3"]
    flow.send(finish(2, "new", epoch=2))
    assert started(flow.send(finish(3, "new", epoch=2))) == ["join"]
    assert flow.told(4, epoch=2) == "## b1\n\nkept\n\n## b2\n\nnew\n\n## b3\n\nnew"
    assert only(flow.send(finish(4, epoch=2)), r.PipelineCompleted).epoch == 2


def test_a_resumption_reserves_only_for_what_is_still_to_run():
    flow = Flow()
    flow.begin(*FAN)
    flow.send(finish(0))
    flow.send(finish(1))
    flow.send(finish(2, status="failed"))
    flow.send(finish(3))
    flow.send(resume())
    first, second = flow.partition.all(r.ReservePipeline)
    assert (first.needs[0].stages, second.needs[0].stages) == (5, 2)


def test_a_run_of_the_time_before_counts_for_nothing():
    flow = Flow()
    flow.begin(*FAN)
    flow.send(finish(0, status="failed"))
    flow.send(resume())
    flow.send(reserved(2))
    assert flow.send(finish(0, epoch=1)) == []
    assert started(flow.send(finish(0, epoch=2))) == ["b1", "b2", "b3"]


def test_a_resumption_that_cannot_be_paid_leaves_it_failed():
    flow = Flow()
    flow.begin(*FAN)
    flow.send(finish(0, status="failed"))
    flow.send(resume())
    no = r.PipelineReservationRefused(tenant_id="acme", pipeline_id=PIPELINE, epoch=2, reason="no", detail="x")
    assert only(flow.send(no), r.PipelineRequestRefused).refused_event_id == "e-resume"
    assert only(flow.send(resume()), r.ReservePipeline).epoch == 3


def test_only_a_failed_pipeline_is_resumed():
    flow = Flow()
    flow.begin(spec("a", 0))
    assert refusals(flow.send(resume())) == ["still_running"]
    flow.send(finish(0))
    assert refusals(flow.send(resume())) == ["finished"]


def test_a_cancelled_pipeline_stops_what_runs_and_starts_nothing_more():
    flow = Flow()
    flow.begin(*FAN)
    flow.send(finish(0))
    assert kinds(flow.send(cancel())) == ["CancelExecution"] * 3
    assert refusals(flow.send(cancel())) == ["already_cancelled"]
    flow.send(finish(1, status="cancelled"))
    flow.send(finish(2))
    written = flow.send(finish(3, status="cancelled"))
    assert kinds(written) == ["StageFailed", "PipelineCancelled", "ReleasePipeline"]
    assert only(written, r.PipelineCancelled).reason == "enough"
    assert refusals(flow.send(cancel())) == ["already_cancelled"]
    assert refusals(flow.send(resume())) == ["finished"]


def test_a_pipeline_cancelled_before_it_was_reserved_gives_the_reservation_back():
    flow = Flow()
    flow.send(start(*FAN))
    assert flow.send(cancel()) == []
    assert kinds(flow.send(reserved())) == ["PipelineCancelled", "ReleasePipeline"]


def test_an_ended_pipeline_has_nothing_to_cancel():
    flow = Flow()
    flow.begin(spec("a", 0))
    flow.send(finish(0))
    assert refusals(flow.send(cancel())) == ["finished"]


def test_a_large_step_is_stopped_in_parts():
    flow = Flow()
    flow.begin(*(spec(f"b{n}", 0) for n in range(300)))
    stops = flow.partition.send(cancel())
    assert len(stops) == 125
    assert len(stops + flow.partition.advance(0)) == 300


def test_an_ended_pipeline_is_forgotten_in_the_end(tmp_path: Path):
    flow = Flow(ArtifactStore(str(tmp_path)))
    flow.begin(*(spec(f"b{n}", 0) for n in range(600)))
    for index in range(600):
        flow.send(finish(index, ""))
    assert len(flow.partition.rows) == 1_202
    flow.partition.advance(KEPT_US)
    assert flow.partition.rows == {}
    assert flow.partition.timers == {}
