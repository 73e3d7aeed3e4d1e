"""Asking for leases: one claim per dispatched attempt, repeated until it is answered."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass

from penstock_consumers.worker.boottime import boottime_s
from penstock_consumers.worker.leases import LeaseKey
from penstock_consumers.worker.metrics import CLAIMS
from penstock_consumers.worker.outbox import Outbox
from penstock_schemas import records as r
from penstock_schemas.ids import derived_id
from penstock_schemas.topics import EXECUTIONS_COMMANDS
from penstock_schemas.traces import TraceContext

Answer = r.LeaseGranted | r.LeaseDenied
_ANSWERS: dict[type, str] = {r.LeaseGranted: "granted", r.LeaseDenied: "denied", type(None): "unanswered"}

REMEMBERED = 10_000
"""Claims without an answer whose first sending is remembered: the answer may still come to a later claim."""


@dataclass(frozen=True, slots=True)
class Granted:
    """A lease and what its deadline counts from."""

    lease: r.LeaseGranted
    partition: int
    """Of the executions commands; heartbeats for this lease go there."""
    claim_sent_s: float
    """CLOCK_BOOTTIME before the first claim was sent: a repeated claim gets the lease of the first."""


class Claims:
    """The claims that wait for an answer.

    Args:
        outbox: where claims go.
        worker_id: who asks.
        retry_s: pause before the first repetition; each later one is twice as long.
        patience_s: how long to ask altogether.
    """

    def __init__(self, outbox: Outbox, worker_id: str, *, retry_s: float, patience_s: float) -> None:
        self._outbox = outbox
        self._worker_id = worker_id
        self._retry_s = retry_s
        self._patience_s = patience_s
        self._waiting: dict[LeaseKey, asyncio.Future[Answer | None]] = {}
        self._first_sent_s: OrderedDict[LeaseKey, float] = OrderedDict()

    async def ask(self, dispatch: r.ExecutionDispatched, trace: TraceContext | None) -> Granted | None:
        """The lease, or None where it was denied or nobody answered in time."""
        key = LeaseKey(dispatch.execution_id, dispatch.epoch)
        claim_id = derived_id("claim", self._worker_id, *key)
        claim = r.ClaimLease(
            event_id=claim_id,
            tenant_id=dispatch.tenant_id,
            execution_id=dispatch.execution_id,
            epoch=dispatch.epoch,
            claim_id=claim_id,
            worker_id=self._worker_id,
            dispatch_seq=dispatch.dispatch_seq,
        )
        waiting = self._waiting[key] = asyncio.get_running_loop().create_future()
        sent_s = self._first_sent_s.setdefault(key, boottime_s())
        if len(self._first_sent_s) > REMEMBERED:
            self._first_sent_s.popitem(last=False)
        try:
            async with asyncio.timeout(self._patience_s):
                answer = await self._until_answered(claim, trace, waiting)
        except TimeoutError:
            CLAIMS("unanswered").inc()
            return None
        finally:
            del self._waiting[key]
        if answer is not None:
            self._first_sent_s.pop(key, None)
        CLAIMS(_ANSWERS[type(answer)]).inc()
        if not isinstance(answer, r.LeaseGranted):
            return None
        return Granted(answer, self._outbox.partition_of(EXECUTIONS_COMMANDS, claim), sent_s)

    def answer(self, record: Answer) -> bool:
        """Pass an answer on; False where nobody waits for it."""
        waiting = self._waiting.get(LeaseKey(record.execution_id, record.epoch))
        if waiting is None or waiting.done():
            return False
        waiting.set_result(record)
        return True

    def abandon(self) -> None:
        """Nobody wants the open claims any more; a grant that still comes is handed back."""
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_result(None)

    async def _until_answered(
        self, claim: r.ClaimLease, trace: TraceContext | None, waiting: asyncio.Future[Answer | None]
    ) -> Answer | None:
        pause_s = self._retry_s
        while True:
            await self._outbox.send(EXECUTIONS_COMMANDS, claim, trace=trace)
            done, _ = await asyncio.wait([waiting], timeout=pause_s)
            if done:
                return waiting.result()
            pause_s *= 2
