"""Pipelines on the whole stack: one after the other, in parallel, failed and resumed, cancelled, paid."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

import penstock
from penstock_schemas import records as r
from penstock_schemas.topics import PIPELINES_REQUESTS
from tests.e2e.conftest import Stack
from tests.e2e.piping import WITHIN_S, Piping, about, request, spec
from tests.e2e.waiting import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]
Pipe = Callable[[Callable[[Piping, penstock.Client], Coroutine[Any, Any, Any]]], Any]


@pytest.fixture
def pipe(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> Pipe:
    """Runs a coroutine with a client of the stack."""
    for name, value in stack.env.items():
        if os.environ.get(name) != value:
            monkeypatch.setenv(name, value)

    def run(go: Callable[[Piping, penstock.Client], Coroutine[Any, Any, Any]]) -> Any:
        async def opened() -> Any:
            async with penstock.Client() as client:
                return await go(Piping(client), client)

        return asyncio.run(opened())

    return run


@pytest.fixture
def tenant() -> str:
    """A tenant nobody else is."""
    return f"t-{uuid4().hex[:12]}"


def named(events: list[Any], kind: type[r.Record]) -> list[str]:
    return [event.stage_name for event in events if isinstance(event, kind)]


def test_four_stages_with_a_parallel_middle_hand_on_what_they_said(pipe: Pipe, tenant: str):
    asked = request(
        tenant,
        spec("Research", 0),
        spec("Analyze", 1, "A:{previous_output}"),
        spec("Criticize", 1, "C:{initial_input}"),
        spec("Write", 2, "W:{outputs.Analyze}/{outputs.Criticize}"),
        initial_input="the {initial_input} sea",
    )
    events = pipe(lambda piping, _: piping.ask(asked))
    assert named(events, r.StageCompleted)[0] == "Research"
    assert named(events, r.StageCompleted)[-1] == "Write"
    assert set(named(events, r.StageCompleted)[1:3]) == {"Analyze", "Criticize"}
    assert events[-1].output == "W:A:the {initial_input} sea/C:the {initial_input} sea"


def test_a_fan_out_of_fifty_is_joined_once(pipe: Pipe, tenant: str):
    asked = request(
        tenant,
        spec("split", 0),
        *(spec(f"b{n}", 1, f"{n}:{{previous_output}}") for n in range(50)),
        spec("join", 2),
    )

    async def go(piping: Piping, _: penstock.Client) -> tuple[list[Any], str]:
        events = await piping.ask(asked)
        return events, await piping.text(events[-1])

    events, output = pipe(go)
    assert Counter(named(events, r.StageStarted)) == Counter(["split", "join", *(f"b{n}" for n in range(50))])
    assert Counter(named(events, r.StageCompleted)) == Counter(named(events, r.StageStarted))
    assert output == "\n\n".join(f"## b{n}\n\n{n}:begin" for n in range(50))


def test_large_texts_pass_through_the_artifact_store(pipe: Pipe, tenant: str):
    large = "word " * 20_000
    asked = request(tenant, spec("a", 0), spec("b", 1, "<{previous_output}>"), spec("c", 2), initial_input=large)

    async def go(piping: Piping, _: penstock.Client) -> str:
        return await piping.text((await piping.ask(asked))[-1])

    assert pipe(go) == f"<{large}>"


def test_a_failed_stage_stops_the_pipeline_and_a_resumption_keeps_what_was_done(
    pipe: Pipe, tenant: str, tmp_path: Path
):
    there = tmp_path / "there"
    asked = request(
        tenant,
        spec("first", 0),
        spec("kept", 1, "kept"),
        spec("fails", 1, str(there), agent_type="needs-file", max_attempts=1),
        spec("last", 2),
    )

    async def go(piping: Piping, _: penstock.Client) -> tuple[list[Any], list[Any]]:
        failed = await piping.ask(asked)
        there.touch()
        return failed, await piping.ask(r.ResumePipeline(**about(asked)))

    failed, resumed = pipe(go)
    assert isinstance(failed[-1], r.PipelineFailed)
    assert failed[-1].failed_at_stage == "fails"
    assert "no such file" in failed[-1].error
    assert isinstance(resumed[0], r.PipelineResumed)
    again = set(named(resumed, r.StageStarted))
    assert {"fails", "last"} <= again
    assert "first" not in again
    assert isinstance(resumed[-1], r.PipelineCompleted)
    assert resumed[-1].output == f"## kept\n\nkept\n\n## fails\n\nfound {there}"


def test_cancelling_stops_what_runs(pipe: Pipe, tenant: str):
    asked = request(tenant, *(spec(f"w{n}", 0, "600", agent_type="waits") for n in range(3)), spec("never", 1))

    async def go(piping: Piping, _: penstock.Client) -> tuple[list[Any], list[Any], list[Any]]:
        await piping.ask(asked, until=r.StageStarted)
        cancel = {"reason": "enough"}
        ended = await piping.ask(r.CancelPipeline(**about(asked, **cancel)), until=r.PipelineCancelled)
        again = await piping.ask(r.CancelPipeline(**about(asked)))
        resumed = await piping.ask(r.ResumePipeline(**about(asked)))
        return ended, again, resumed

    ended, again, resumed = pipe(go)
    assert Counter(event.status for event in ended if isinstance(event, r.StageFailed)) == {"cancelled": 3}
    assert ended[-1].reason == "enough"
    assert (again[-1].reason, resumed[-1].reason) == ("already_cancelled", "finished")


def test_another_tenants_pipeline_does_not_exist(pipe: Pipe, tenant: str):
    asked = request(tenant, spec("a", 0))

    async def go(piping: Piping, _: penstock.Client) -> list[str]:
        await piping.ask(asked)
        reasons = []
        for who in ({"tenant_id": "stranger"}, {"user_id": "bob"}):
            for kind in (r.CancelPipeline, r.ResumePipeline):
                ended = await piping.ask(kind(**about(asked, **who)))
                reasons.append(ended[-1].reason)
        return reasons

    assert pipe(go) == ["not_found"] * 4


@pytest.mark.parametrize(
    ("stages", "reason"),
    [
        ([], "no_stages"),
        ([spec(f"s{n}", n) for n in range(5_000)], "too_many_stages"),
        ([spec("a", 0), spec("a", 1)], "duplicate_name"),
        ([spec("a", 0, "{outputs.b}"), spec("b", 1)], "refers_to_later"),
        ([spec("a", 0, queue="moon")], "unknown_queue"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_run_is_refused(pipe: Pipe, tenant: str, stages: list[r.StageSpec], reason: str):
    events = pipe(lambda piping, _: piping.ask(request(tenant, *stages)))
    assert [type(event).__name__ for event in events] == ["PipelineRequestRefused"]
    assert events[0].reason == reason


def test_a_repeated_request_runs_once(pipe: Pipe, tenant: str):
    asked = request(tenant, spec("a", 0), spec("b", 1))

    async def go(piping: Piping, client: penstock.Client) -> list[Any]:
        first = await piping.ask(asked)
        await client._submitting.produce(PIPELINES_REQUESTS, asked.model_copy(update={"event_id": "again"}))
        return first + await piping.ask(r.CancelPipeline(**about(asked)))

    events = pipe(go)
    assert Counter(named(events, r.StageStarted)) == {"a": 1, "b": 1}
    assert events[-1].reason == "finished"


def test_a_fan_out_stays_within_the_budget_and_the_end_gives_the_rest_back(stack: Stack, pipe: Pipe, tenant: str):
    """A hundred branches of a free tenant with 5 slots: the reservation is one, and nothing is left of it."""
    limits = ("--tier", "free", "--monthly-tokens", "200000", "--queue-limit", "10")
    assert stack.penstock("tenants", "set", tenant, *limits).returncode == 0
    branches = [spec(f"b{n}", 0, "{initial_input}", max_tokens=100, agent_type="works") for n in range(100)]
    asked = request(tenant, *branches)
    events = pipe(lambda piping, _: piping.ask(asked))
    assert isinstance(events[-1], r.PipelineCompleted)
    too_much = request(tenant, *branches, spec("join", 1, max_tokens=100_000))
    refused = pipe(lambda piping, _: piping.ask(too_much))
    assert (type(refused[0]), refused[0].reason) == (r.PipelineRequestRefused, "budget_exceeded")

    def left() -> int:
        return int(stack.json("budget", "check", tenant, "--tokens", "1", "--model", "gpt-4")["tokens_left"])

    eventually(lambda: left() == 200_000 - 100 * 30)


def test_the_bill_names_the_pipeline_and_the_conversation_and_the_audit_agrees(
    stack: Stack, pipe: Pipe, tenant: str
):
    asked = request(tenant, spec("a", 0, model="gpt-4"), spec("b", 1, "{previous_output}", model="gpt-4"))

    async def go(piping: Piping, client: penstock.Client) -> str:
        await piping.ask(asked)
        posted = await client.post_message("hello", tenant=tenant, user="ann", agent="echo", model="gpt-4")
        await client.answer(posted, timeout_s=WITHIN_S)
        return posted.conversation_id

    conversation = pipe(go)
    alone = stack.penstock("run", "echo", "--input", "hi", "--tenant", tenant, "--model", "gpt-4", "--follow")
    assert alone.returncode == 0, alone.stderr
    bill = eventually(lambda: found if (found := stack.json("bill", tenant))["total"]["calls"] == 4 else None)
    named = {name: [(line["name"], line["calls"]) for line in lines] for name, lines in bill["by"].items()}
    assert named["pipeline"] == [(asked.pipeline_id, 2)]
    assert named["conversation"] == [(conversation, 1)]
    shown = stack.penstock("bill", tenant).stdout
    assert asked.pipeline_id in shown
    assert conversation in shown
    audited = stack.penstock("audit")
    assert audited.returncode == 0, audited.stdout
