"""The attempts of one worker: from a dispatch and a reserved slot to a claim, a lease, a run, and its end."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from pathlib import Path

from penstock.artifacts import ArtifactStore
from penstock_consumers.worker.boottime import boottime_s
from penstock_consumers.worker.claims import Claims, Granted
from penstock_consumers.worker.dispatches import Answered
from penstock_consumers.worker.lease_feed import LeaseAnswer
from penstock_consumers.worker.leases import LeaseKey, LeaseTable
from penstock_consumers.worker.observing import Observed
from penstock_consumers.worker.outbox import Acknowledged, Outbox
from penstock_consumers.worker.pool import Reservation, SlotPool
from penstock_consumers.worker.provision import Provision
from penstock_consumers.worker.reporter import Reporter
from penstock_consumers.worker.run import Run
from penstock_schemas import records as r
from penstock_schemas.ids import derived_id
from penstock_schemas.topics import EXECUTIONS_COMMANDS
from penstock_schemas.traces import TraceContext

log = logging.getLogger("penstock.worker")

REMEMBERED = 10_000
"""Granted attempts: a repeated grant, the answer to a repeated claim, is known instead of handed back, and a
repeated hint is not claimed again. A grant still on its way would answer that claim, of an attempt that was handed
back or lost meanwhile; and a second run of one attempt would report its calls under the ids of the first."""
CLAIM_LINGER_S = 2.0
"""How long a draining worker waits for answers to its open claims, to hand their leases back."""
WARNING_S = 0.5
"""How long agents have between `cancelled` and the end of a drain, to report what they used."""


class Attempts:
    """Everything in progress.

    Args:
        worker_id: who runs.
        outbox: where records go.
        claims: asks for leases.
        leases: the leases held.
        pool: where runs run.
        store: payloads by reference; None where none is configured.
        workspaces: folder for the attempts' folders where there is no sandbox.
        provision: the sandboxes of this worker.
    """

    def __init__(
        self,
        worker_id: str,
        outbox: Outbox,
        claims: Claims,
        leases: LeaseTable,
        pool: SlotPool,
        store: ArtifactStore | None,
        workspaces: Path,
        provision: Provision,
    ) -> None:
        self._worker_id = worker_id
        self._outbox = outbox
        self._claims = claims
        self._leases = leases
        self._pool = pool
        self._store = store
        self._workspaces = workspaces
        self._provision = provision
        self._busy: set[LeaseKey] = set()
        self._running: dict[LeaseKey, Run] = {}
        self._granted: OrderedDict[LeaseKey, None] = OrderedDict()
        self._tasks: set[asyncio.Task[None]] = set()
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._draining = False

    def take(
        self,
        dispatch: r.ExecutionDispatched,
        trace: TraceContext | None,
        reserved: Reservation,
        answered: Answered,
    ) -> None:
        """Claim a dispatched attempt and run it, as part of its trace, if it is granted."""
        key = LeaseKey(dispatch.execution_id, dispatch.epoch)
        if key in self._busy or key in self._granted:  # a repeated hint: the claim is under way, or was granted
            reserved.release()
            answered()
            return
        self._busy.add(key)
        task = asyncio.create_task(self._attempt(key, dispatch, trace, reserved, answered))
        self._tasks.add(task)
        task.add_done_callback(self._task_ended)

    async def hear(self, answer: LeaseAnswer) -> None:
        """Act on what the lease authority says."""
        match answer:
            case r.LeaseConfirmed():
                hold_s = answer.hold_ms / 1000
                confirmed = self._leases.confirm(answer.partition, answer.heartbeat_seq, hold_s)
                for key, deadline_s in confirmed.items():
                    if key in self._running:
                        self._running[key].extend(deadline_s)
            case r.LeaseRevoked(reason="cancelled"):
                if run := self._running.get(LeaseKey(answer.execution_id, answer.epoch)):
                    log.info("execution %s is cancelled", answer.execution_id)
                    run.cancel()
            case r.LeaseRevoked():
                self._lose(LeaseKey(answer.execution_id, answer.epoch), f"revoked: {answer.reason}")
            case r.LeaseDenied():
                self._claims.answer(answer)
            case r.LeaseGranted():
                key = LeaseKey(answer.execution_id, answer.epoch)
                if not self._claims.answer(answer) and key not in self._busy and key not in self._granted:
                    self._remember(key)
                    await self._hand_back(answer)

    def lose_expired(self) -> None:
        """Kill every run whose lease may be given to another worker soon."""
        for key in self._leases.expired(boottime_s()):
            self._lose(key, "no heartbeat was confirmed in time")

    async def until_failed(self) -> None:
        """Never returns; raises whatever one of the attempts failed with, which is a fault of this worker."""
        await asyncio.shield(self._failed)

    async def drain(self, limit_s: float) -> None:
        """Take nothing new, let runs end within `limit_s`, hand the rest back."""
        self._draining = True
        asyncio.get_running_loop().call_later(min(CLAIM_LINGER_S, limit_s), self._claims.abandon)
        if await self._all_ended(limit_s):
            return
        for run in list(self._running.values()):
            run.warn()
        if await self._all_ended(WARNING_S):
            return
        for run in list(self._running.values()):
            run.end("handed_back")
        await self._all_ended(None)

    async def _attempt(
        self,
        key: LeaseKey,
        dispatch: r.ExecutionDispatched,
        trace: TraceContext | None,
        reserved: Reservation,
        answered: Answered,
    ) -> None:
        try:
            granted = await self._claims.ask(dispatch, trace)
            answered()
            if granted is not None:
                self._remember(key)
                await self._run(key, dispatch, trace, reserved, granted)
        finally:
            reserved.release()
            self._running.pop(key, None)
            self._leases.release(key)
            self._busy.discard(key)

    async def _run(
        self,
        key: LeaseKey,
        dispatch: r.ExecutionDispatched,
        trace: TraceContext | None,
        reserved: Reservation,
        granted: Granted,
    ) -> None:
        hold_s = granted.lease.hold_ms / 1000
        deadline_s = self._leases.grant(key, granted.partition, hold_s, granted.claim_sent_s)
        if self._draining or deadline_s <= boottime_s():
            await (await self._hand_back(granted.lease))
            return
        with Observed(dispatch, trace) as observed:
            run = self._running[key] = Run(
                dispatch,
                pool=self._pool,
                reservation=reserved,
                leases=self._leases,
                reporter=Reporter(self._outbox, dispatch, self._worker_id, self._store, observed),
                store=self._store,
                workspaces=self._workspaces,
                provision=self._provision,
                trace=observed.trace,
            )
            await run.execute()

    async def _hand_back(self, lease: r.LeaseGranted) -> Acknowledged:
        finish = r.FinishAttempt(
            event_id=derived_id("finish", lease.execution_id, lease.epoch),
            tenant_id=lease.tenant_id,
            execution_id=lease.execution_id,
            epoch=lease.epoch,
            worker_id=self._worker_id,
            status="handed_back",
            last_seq=0,
        )
        return await self._outbox.send(EXECUTIONS_COMMANDS, finish)

    def _lose(self, key: LeaseKey, reason: str) -> None:
        self._leases.release(key)
        run = self._running.get(key)
        if run is not None:
            log.warning("execution %s, attempt %d is killed: %s", *key, reason)
            run.end("lease lost")

    def _remember(self, key: LeaseKey) -> None:
        self._granted[key] = None
        if len(self._granted) > REMEMBERED:
            self._granted.popitem(last=False)

    def _task_ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (exc := task.exception()) and not self._failed.done():
            self._failed.set_exception(exc)

    async def _all_ended(self, within_s: float | None) -> bool:
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=within_s)
        return not self._tasks
