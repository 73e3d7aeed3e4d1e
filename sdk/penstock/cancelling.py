"""Ending an execution before its result, and waiting until it has ended."""

from __future__ import annotations

from contextlib import aclosing
from uuid import uuid4

from penstock.arguments import CancelArguments
from penstock.errors import AlreadyEnded, FollowTimeout, NotConfirmed, NotFound
from penstock.followed import Terminal
from penstock.following import Following
from penstock.outcome import state_of
from penstock.submitting import Submitting, now_us
from penstock_schemas import records as r
from penstock_schemas.topics import ACCOUNTS_REQUESTS

ENDED_WITHIN_S = 45.0
"""Longer than the default lease: a run whose worker has just died ends when its lease does."""


class Cancelling:
    """Cancels executions for one client."""

    def __init__(self, submitting: Submitting, following: Following) -> None:
        self._submitting = submitting
        self._following = following

    async def cancel(self, wanted: CancelArguments) -> None:
        """Ask for the end of an execution; returns once it has ended, cancelled or otherwise.

        1. Where the caller does not say whose it is, its records say. A crash after this leaves nothing.
        2. The end offsets of its partitions are captured. A crash after this leaves nothing.
        3. CancelExecution is sent. A crash after this leaves it cancelled and nobody told; asking again is
           answered by AlreadyEnded.

        Raises:
            NotFound: the tenant has no such execution.
            AlreadyEnded: it had ended before.
            NotConfirmed: it was asked for, and nothing has ended yet.
        """
        execution_id = wanted.execution_id
        tenant = wanted.tenant or await self._tenant_of(execution_id)
        cursor = await self._submitting.cursor_now(execution_id)
        cancel = r.CancelExecution(
            event_id=str(uuid4()),
            tenant_id=tenant,
            occurred_at=now_us(),
            execution_id=execution_id,
            reason=wanted.reason,
        )
        await self._submitting.produce(ACCOUNTS_REQUESTS, cancel)
        try:
            async with aclosing(self._following.since(execution_id, cursor, ENDED_WITHIN_S)) as records:
                async for record in records:
                    if isinstance(record, r.CancelRefused) and record.refused_event_id == cancel.event_id:
                        kind = NotFound if record.reason == "unknown_execution" else AlreadyEnded
                        raise kind(f"execution {execution_id!r} cannot be cancelled: {record.detail}")
                    if isinstance(record, Terminal):
                        return
        except FollowTimeout:
            raise NotConfirmed(
                f"the request to cancel {execution_id!r} is on Kafka, and it has not ended within "
                f"{ENDED_WITHIN_S:g} s; `penstock watch {execution_id}` shows what becomes of it"
            ) from None

    async def _tenant_of(self, execution_id: str) -> str:
        state = state_of(await self._following.until_now(execution_id), cost_nanousd=0)
        if state.finished_at is not None:
            raise AlreadyEnded(f"execution {execution_id!r} has ended already: it is {state.status}")
        return state.tenant_id
