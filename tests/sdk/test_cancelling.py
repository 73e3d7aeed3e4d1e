"""Cancelling from outside: what is asked for, what ends, and what cannot be cancelled any more."""

from __future__ import annotations

from uuid import uuid4

import pytest

from penstock import cancelling
from penstock.client import Client
from penstock.errors import AlreadyEnded, ExecutionCancelledError, InvalidInput, NotConfirmed, NotFound
from penstock_schemas import records as r
from tests.sdk.platform import SCRIPTED_ONLY, Platform
from tests.sdk.test_command_line import penstock

pytestmark = pytest.mark.integration


async def waiting(client: Client, tenant: str = "acme") -> str:
    """A run that goes on until it is cancelled."""
    submission = await client.submit("waits", "x", tenant=tenant)
    async for record in client.follow(submission.execution_id):
        if isinstance(record, r.AttemptStarted):
            break
    return submission.execution_id


async def test_a_run_is_cancelled_and_its_state_says_why(client: Client):
    execution_id = await waiting(client)
    ended = await client.cancel(execution_id, reason="changed my mind")
    assert (ended.status, ended.reason) == ("cancelled", "changed my mind")
    assert ended.finished_at is not None
    with pytest.raises(ExecutionCancelledError, match="changed my mind"):
        await client.result(execution_id)


async def test_a_result_that_came_first_is_told(client: Client):
    ended = await client.cancel(await waiting(client), reason="just too late")
    assert (ended.status, ended.output) == ("completed", "a result after all")


async def test_what_has_ended_cannot_be_cancelled(client: Client):
    submission = await client.submit("echo", "x", tenant="acme")
    await client.result(submission.execution_id)
    with pytest.raises(AlreadyEnded, match="it is completed"):
        await client.cancel(submission.execution_id)
    with pytest.raises(AlreadyEnded, match="ended already"):
        await client.cancel(await waiting(client), tenant="acme", reason="too late")


async def test_what_nobody_knows_or_another_tenant_owns_is_not_found(client: Client):
    with pytest.raises(NotFound):
        await client.cancel(str(uuid4()))
    with pytest.raises(NotFound):
        await client.cancel(await waiting(client), tenant="stranger")


async def test_without_an_answer_the_caller_learns_where_to_look(client: Client, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(cancelling, "ENDED_WITHIN_S", 0.5)
    with pytest.raises(NotConfirmed, match="penstock watch nobody"):
        await client.cancel("nobody", tenant=SCRIPTED_ONLY)


async def test_a_reason_nobody_would_read_is_refused_before_anything_is_sent(client: Client):
    with pytest.raises(InvalidInput, match="reason"):
        await client.cancel("any", reason="x" * 501)


async def test_the_command_prints_what_became_of_it(client: Client, platform: Platform):
    cancelled = await penstock(platform, "cancel", await waiting(client), "--reason", "enough")
    assert (cancelled.code, cancelled.out) == (0, "cancelled\n")
    late = await penstock(platform, "cancel", await waiting(client), "--reason", "just too late")
    assert (late.code, late.out) == (1, "completed\n")
    unknown = await penstock(platform, "cancel", "no-such-execution")
    assert unknown.code == 1
    assert "no-such-execution" in unknown.err
