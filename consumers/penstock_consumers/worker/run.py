"""One granted attempt, from its input to its FinishAttempt."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple

from penstock.artifacts import ArtifactStore
from penstock.carried import CarriedText, read_text
from penstock.errors import AgentError, PenstockError, Unreachable
from penstock_consumers.worker.boottime import boottime_s
from penstock_consumers.worker.earlier import earlier_outputs
from penstock_consumers.worker.handing import handed_files
from penstock_consumers.worker.leases import LeaseKey, LeaseTable
from penstock_consumers.worker.outbox import Acknowledged
from penstock_consumers.worker.pool import Reservation, SlotPool
from penstock_consumers.worker.provision import Provision
from penstock_consumers.worker.reporter import Reporter, Status
from penstock_consumers.worker.slots import Slot, SlotDied
from penstock_consumers.worker.wire import CallKnown, Cancel, Ended, Extend, Handed, Past, Start
from penstock_schemas import records as r
from penstock_schemas.ids import derived_id
from penstock_schemas.traces import TraceContext

Reason = Literal["lease lost", "timed_out", "cancelled", "handed_back"]
"""Why the supervisor ended a run that had not ended by itself."""

CANCEL_GRACE_S = 1.0
"""How long a cancelled agent has, from when it is told, to report what it used and return."""


class Told(NamedTuple):
    """What the agent is given, fetched from wherever it was."""

    text: str
    history: tuple[Past, ...]
    previous_outputs: tuple[tuple[str, str], ...]
    handed: tuple[Handed, ...]


class Run:
    """Runs one attempt under its lease.

    Args:
        dispatch: what to run.
        pool: where; `reservation` is its place there and is released as soon as the slot is done.
        leases: holds the attempt's lease.
        reporter: takes what the run does.
        store: where an input by reference is; None where none is configured.
        workspaces: folder for the attempts' folders where there is no sandbox.
        provision: the sandboxes of this worker.
        trace: the run's span.
    """

    def __init__(
        self,
        dispatch: r.ExecutionDispatched,
        *,
        pool: SlotPool,
        reservation: Reservation,
        leases: LeaseTable,
        reporter: Reporter,
        store: ArtifactStore | None,
        workspaces: Path,
        provision: Provision,
        trace: TraceContext | None,
    ) -> None:
        self.key = LeaseKey(dispatch.execution_id, dispatch.epoch)
        self._dispatch = dispatch
        self._pool = pool
        self._reservation = reservation
        self._leases = leases
        self._reporter = reporter
        self._store = store
        self._workspace = workspaces / derived_id("workspace", *self.key)  # an execution id may be any text
        self._provision = provision
        self._trace = trace
        self._slot: Slot | None = None
        self._reason: Reason | None = None
        self._over = False
        self._cancelled = False
        self._abort: Callable[[], object] = lambda: None

    async def execute(self) -> Status | None:
        """Run to the end and report it; returns the reported status, None where the lease was lost.

        The order of what is reported, and the cost of a crash at each point: `Reporter.finish`.
        """
        timer = asyncio.get_running_loop().call_later(self._dispatch.timeout_s, self.end, "timed_out")
        try:
            ended = await self._outcome()
        finally:
            self._over = True
            timer.cancel()
            self._reservation.release()
            await self._clean_up()
        if self._reason == "lease lost" or self._guard_was_quicker(ended):
            await self._reporter.flush()  # what was used is billed, whoever's result counts
            return None
        status, ended = self._judged(ended)
        await self._reporter.finish(status, ended)
        return status

    def end(self, reason: Reason) -> None:
        """End the run now, by SIGKILL; the first reason counts, and one that comes after the end does not."""
        if not self._over and self._reason is None:
            self._reason = reason
            self._abort()

    def cancel(self) -> None:
        """Somebody wants the execution to end: tell the agent, and end it where it does not return soon.

        What it returns from now on is no result: it may be half a result.
        """
        if self._over or self._cancelled:
            return
        self._cancelled = True
        self.warn()
        grace_s = 0.0 if self._slot is None else CANCEL_GRACE_S
        asyncio.get_running_loop().call_later(grace_s, self.end, "cancelled")

    def extend(self, deadline_s: float) -> None:
        """The lease lives until `deadline_s` on CLOCK_BOOTTIME."""
        if self._slot is not None and not self._over:
            self._slot.send(Extend(deadline_s))

    def warn(self) -> None:
        """Tell the agent that it will be ended in a moment."""
        if self._slot is not None and not self._over:
            self._slot.send(Cancel())

    async def _outcome(self) -> Ended:
        preparing = asyncio.ensure_future(self._prepare())
        self._abort = preparing.cancel
        try:
            told, slot = await preparing
        except asyncio.CancelledError:
            if self._reason is None:
                raise
            return Ended(error_type="NotStarted", error_message="the run was ended before its agent started")
        except PenstockError as exc:
            return _failure(exc, retryable=isinstance(exc, Unreachable))
        self._slot, self._abort = slot, slot.kill
        if self._reason is not None:
            slot.kill()
        try:
            return await self._drive(slot, told)
        except SlotDied as exc:
            return _failure(exc, retryable=True)
        except AgentError as exc:
            slot.kill()
            return _failure(exc, retryable=False)
        except asyncio.CancelledError:
            slot.kill()
            raise

    async def _prepare(self) -> tuple[Told, Slot]:
        text = await read_text(CarriedText(self._dispatch.input, self._dispatch.input_ref), self._store)
        history = [
            Past(
                said.turn_number,
                said.role,
                await read_text(CarriedText(said.content, said.content_ref), self._store),
                said.said_at,
            )
            for said in self._dispatch.history
        ]
        outputs = await earlier_outputs(self._dispatch, self._store)
        handed = await handed_files(self._dispatch, self._store, sandboxed=self._sandboxed)
        return Told(text, tuple(history), outputs, handed), await self._pool.take()

    @property
    def _sandboxed(self) -> bool:
        return self._provision.serves(self._dispatch.queue, self._dispatch.tier)

    async def _drive(self, slot: Slot, told: Told) -> Ended:
        dispatch = self._dispatch
        start = Start(
            execution_id=dispatch.execution_id,
            epoch=dispatch.epoch,
            tenant_id=dispatch.tenant_id,
            agent_type=dispatch.agent_type,
            input=told.text,
            user_id=dispatch.user_id,
            model=dispatch.model,
            max_tokens=dispatch.max_tokens,
            reserved_tokens=dispatch.reserved_tokens,
            metadata=dispatch.metadata,
            workspace=str(self._workspace),
            tier=dispatch.tier,
            sandboxed=self._sandboxed,
            deadline_s=self._leases.deadline_s(self.key) or boottime_s(),
            conversation_id=dispatch.conversation_id,
            turn_number=dispatch.turn_number,
            history=told.history,
            pipeline_id=dispatch.pipeline_id,
            previous_outputs=told.previous_outputs,
            handed=told.handed,
            artifact_patterns=tuple(dispatch.artifact_patterns),
            kept_in=self._reporter.scope,
            trace=self._trace,
        )
        slot.send(start)
        while not isinstance(message := await slot.next_report(), Ended):
            started = await self._reporter.relay(message)
            if started is not None:
                self._tell_once_known(slot, *started)
        return message

    def _tell_once_known(self, slot: Slot, call_seq: int, acknowledged: Acknowledged) -> None:
        """Let the agent make a call once nobody can overlook it."""

        def known(sent: Acknowledged) -> None:
            if not sent.cancelled() and sent.exception() is None:
                slot.send(CallKnown(call_seq))

        acknowledged.add_done_callback(known)

    def _judged(self, ended: Ended) -> tuple[Status, Ended]:
        if self._reason == "timed_out":
            limit = f"the run was killed after its {self._dispatch.timeout_s} s (timeout_s)"
            return "timed_out", Ended(error_type="TimedOut", error_message=limit)
        if self._cancelled:
            return "cancelled", Ended()
        if self._reason == "handed_back":
            return "handed_back", Ended()
        return ("completed" if ended.error_type is None else "failed"), ended

    def _guard_was_quicker(self, ended: Ended) -> bool:
        """Whether the slot's own guard killed the run for its lease before the supervisor did."""
        deadline_s = self._leases.deadline_s(self.key)
        return ended.error_type == SlotDied.__name__ and (deadline_s is None or deadline_s <= boottime_s())

    async def _clean_up(self) -> None:
        if self._slot is not None:
            await self._pool.put_back(self._slot)
            if not self._slot.alive:
                await self._slot.ended()
            await self._provision.clean_up(self._dispatch, self._slot.alive)
        if self._workspace.exists():
            await asyncio.to_thread(shutil.rmtree, self._workspace, ignore_errors=True)


def _failure(exc: Exception, *, retryable: bool) -> Ended:
    return Ended(error_type=type(exc).__name__, error_message=str(exc), retryable=retryable)
