"""A cancelled run: its agent is told, has a moment, and is ended; what it used is billed."""

from __future__ import annotations

import pytest

from penstock_schemas import records as r
from tests.worker.lease_authority import LeaseAuthority, exists

pytestmark = pytest.mark.integration


async def cancelled(authority: LeaseAuthority, agent: str, times: int = 1) -> tuple[r.FinishAttempt, int]:
    """Start `agent`, cancel it once it runs; its end and its process."""
    execution = await authority.dispatch(agent)
    pid = await authority.pid_of(execution)
    (claim,) = authority.all(r.ClaimLease, execution)
    for _ in range(times):
        await authority.revoke(claim, "cancelled")
    return await authority.finished(execution), pid


async def test_an_agent_that_listens_reports_its_usage_and_what_it_returns_is_no_result(authority, start_worker):
    async with start_worker():
        finish, _ = await cancelled(authority, "listens", times=2)  # heard twice, reported once
        await authority.finished(await authority.dispatch("works"))
    assert (finish.status, finish.output, finish.error_type, finish.last_seq) == ("cancelled", None, None, 1)
    (usage,) = authority.all(r.RecordUsage, finish.execution_id)
    assert usage.input_tokens == 7
    assert len(authority.all(r.FinishAttempt, finish.execution_id)) == 1


async def test_an_agent_that_does_not_listen_is_killed_and_reported_with_what_it_had_used(authority, start_worker):
    async with start_worker():
        finish, pid = await cancelled(authority, "blocks")
        assert not exists(pid)
    assert (finish.status, finish.last_seq) == ("cancelled", 1)
    assert len(authority.all(r.RecordUsage, finish.execution_id)) == 1


async def test_the_slot_of_a_cancelled_run_is_used_again(authority, start_worker):
    async with start_worker(concurrency=1):
        await cancelled(authority, "blocks")
        assert (await authority.finished(await authority.dispatch("works"))).status == "completed"
