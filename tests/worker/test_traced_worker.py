"""A real worker between the trace it is given and the records it writes, and what its port says meanwhile."""

from __future__ import annotations

import pytest
from prometheus_client import REGISTRY

from penstock_schemas import records as r
from penstock_schemas.topics import EXECUTIONS_LEASES, dispatch_topic
from penstock_schemas.traces import TraceContext
from tests.worker.lease_authority import QUEUE, until

pytestmark = pytest.mark.integration
CALLER = TraceContext(f"00-{'8' * 32}-{'7' * 16}-01")


def traces_of(authority, record_type, execution) -> set[TraceContext | None]:
    return {
        seen.trace
        for seen in authority.seen
        if isinstance(seen.record, record_type)
        if getattr(seen.record, "execution_id", None) == execution
    }


async def test_the_claim_carries_the_callers_span_and_everything_after_it_that_of_the_run(
    authority, start_worker, spans
):
    async with start_worker():
        execution = await authority.dispatch("works", trace=CALLER)
        await authority.finished(execution)
        await until(lambda: bool(spans.named("agent.execution")), "the run's span has ended")
    run, step = spans.one("agent.execution"), spans.one("agent.step")
    assert (run.context.trace_id, run.parent.span_id) == (int(CALLER.trace_id, 16), int("7" * 16, 16))
    assert step.parent.span_id == run.context.span_id
    assert (run.attributes["gen_ai.usage.input_tokens"], run.attributes["gen_ai.usage.output_tokens"]) == (10, 20)
    assert traces_of(authority, r.ClaimLease, execution) == {CALLER}
    of_the_run = {TraceContext(f"00-{CALLER.trace_id}-{run.context.span_id:016x}-01")}
    for record_type in r.StepStarted, r.ProgressReported, r.RecordUsage, r.FinishAttempt:
        assert traces_of(authority, record_type, execution) == of_the_run


async def test_without_a_trace_the_run_begins_one_that_its_records_carry(authority, start_worker, spans):
    async with start_worker():
        execution = await authority.dispatch("works")
        await authority.finished(execution)
        await until(lambda: bool(spans.named("agent.execution")), "the run's span has ended")
    (carried,) = traces_of(authority, r.FinishAttempt, execution)
    assert carried is not None
    assert int(carried.trace_id, 16) == spans.one("agent.execution").context.trace_id
    assert traces_of(authority, r.ClaimLease, execution) == {None}


async def test_a_failed_run_has_its_exception_and_counts_as_failed(authority, start_worker, spans):
    def failed() -> float:
        return REGISTRY.get_sample_value("agent_executions_total", labels) or 0.0

    labels = {"agent_type": "returns-number", "status": "failed"}
    before = failed()
    async with start_worker():
        execution = await authority.dispatch("returns-number", trace=CALLER)
        finish = await authority.finished(execution)
        await until(lambda: bool(spans.named("agent.execution")), "the run's span has ended")
    (event,) = spans.one("agent.execution").events
    assert event.attributes["exception.type"] == finish.error_type == "NotText"
    assert failed() == before + 1
    assert REGISTRY.get_sample_value("agent_active_executions", {"agent_type": "returns-number"}) == 0


async def test_a_worker_knows_how_far_it_reads_and_that_full_slots_are_no_stall(authority, start_worker):
    def waiting() -> list[bool]:
        return [each.paused for each in worker.standings() if each.topic == dispatch_topic(QUEUE).name]

    async with start_worker(concurrency=1) as worker:
        await authority.dispatch("waits", input="60")
        await authority.until(lambda: authority.all(r.ProgressReported), "the run has begun")
        assert waiting()
        assert all(waiting())
        assert {each.topic for each in worker.standings()} == {dispatch_topic(QUEUE).name, EXECUTIONS_LEASES.name}
        assert REGISTRY.get_sample_value("penstock_worker_claims_total", {"answer": "granted"})
        await until(lambda: REGISTRY.get_sample_value("penstock_worker_leases_held") == 1, "the lease is shown")
