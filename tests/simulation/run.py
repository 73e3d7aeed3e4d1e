"""One granted attempt in a slot: what its agent does, the guard that kills it at its deadline, and its report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from penstock_consumers.worker.leases import LeaseKey
from penstock_schemas import records as r
from penstock_schemas import topics as t
from penstock_schemas.ids import derived_id, usage_id
from tests.simulation.process import SECOND
from tests.simulation.scheduler import Box, Signal, Wait

if TYPE_CHECKING:
    from tests.simulation.workers import WorkerProcess

Reason = Literal["lease lost", "timed_out", "cancelled", "handed_back"]
MODEL = "gpt-4"
CANCEL_GRACE_US = SECOND


class Run:
    """The monitor is told from when to when it may act."""

    def __init__(self, worker: WorkerProcess, dispatch: r.ExecutionDispatched, deadline_s: float) -> None:
        self.key = LeaseKey(dispatch.execution_id, dispatch.epoch)
        self.deadline_s = deadline_s
        self._worker = worker
        self._monitor = worker.world.monitor
        self._dispatch = dispatch
        self._reason: Reason | None = None
        self._over = False
        self._cancelled = False
        self._ended = Signal()
        self._usage: list[Box] = []
        self._monitor.run_begins(self, worker)

    async def execute(self) -> None:
        worker, rng = self._worker, self._worker.scheduler.rng
        lasts_us, calls, outcome = worker.world.agent(rng)
        begins = worker.scheduler.now
        times_out = begins + self._dispatch.timeout_s * SECOND
        for seq, after_us in enumerate(calls, 1):
            if not await self._until(begins + after_us, times_out):
                break
            self._call(seq)
        else:
            await self._until(begins + lasts_us, times_out)
        self.over()
        if self._reason == "lease lost":
            await self.flush()  # what was used is billed, whoever's result counts
        elif self._cancelled and self._reason != "timed_out":
            await self._finish("cancelled")
        else:
            await self._finish(self._reason or outcome)

    def end(self, reason: Reason) -> None:
        """By SIGKILL, from the supervisor or the guard; the first reason counts."""
        if not self._over and self._reason is None:
            self._reason = reason
            self._ended.notify()

    def cancel(self) -> None:
        """The agent is told, and may go on for up to a second; what it returns from now on is no result."""
        if not self._over and not self._cancelled:
            self._cancelled = True
            scheduler = self._worker.scheduler
            grace_us = scheduler.rng.choice((0, CANCEL_GRACE_US))
            self._worker.spawn(self._end_cancelled(grace_us), "cancelled run")

    async def _end_cancelled(self, grace_us: int) -> None:
        await Wait(grace_us)
        self.end("cancelled")

    def extend(self, deadline_s: float) -> None:
        if not self._over:
            self.deadline_s = max(self.deadline_s, deadline_s)
            self._monitor.run_extended(self, self._worker)

    def over(self) -> None:
        """The slot is dead or done: nothing of this run happens any more."""
        if not self._over:
            self._over = True
            self._monitor.run_ends(self)

    async def _until(self, when: int, times_out: int) -> bool:
        """Let the agent go on until `when`; False where it was ended before that."""
        scheduler = self._worker.scheduler
        while self._reason is None:
            guard_us = self._worker.until_boottime(self.deadline_s)
            if guard_us == 0 or self._worker.boottime_s() >= self.deadline_s:
                self.end("lease lost")
            elif scheduler.now >= times_out:
                self.end("timed_out")
            elif scheduler.now >= when:
                return True
            else:
                await Wait(min(when - scheduler.now, times_out - scheduler.now, guard_us), self._ended)
        return False

    def _call(self, seq: int) -> None:
        tenant_id, (execution_id, epoch) = self._dispatch.tenant_id, self.key
        usage = r.RecordUsage(
            tenant_id=tenant_id,
            usage_id=usage_id(tenant_id, execution_id, epoch, seq),
            execution_id=execution_id,
            epoch=epoch,
            call_seq=seq,
            model=MODEL if seq % 3 else "unheard-of",
            input_tokens=10 * seq,
            output_tokens=seq,
        )
        self._monitor.called(self.key, usage.usage_id)
        self._usage.append(self._worker.outbox.send(t.ACCOUNTS_COMMANDS, usage))

    async def _finish(self, status: str) -> None:
        await self.flush()
        completed = status == "completed"
        finish = r.FinishAttempt.model_validate(
            {
                "event_id": derived_id("finish", *self.key),
                "tenant_id": self._dispatch.tenant_id,
                "execution_id": self.key.execution_id,
                "epoch": self.key.epoch,
                "worker_id": self._worker.id,
                "status": "failed" if status in ("retryable", "failed") else status,
                "output": f"{self._worker.id}/{self.key.epoch}" if completed else None,
                "error_type": status if status in ("retryable", "failed") else None,
                "retryable": status == "retryable",
                "last_seq": 0,
            }
        )
        self._monitor.reported_end(finish)
        acknowledged = self._worker.outbox.send(t.EXECUTIONS_COMMANDS, finish)
        await self._worker.trip(tempting=True)
        if not acknowledged.full:
            await Wait(None, acknowledged)

    async def flush(self) -> None:
        """All usage is acknowledged before the end is reported."""
        for acknowledged in self._usage:
            if not acknowledged.full:
                await Wait(None, acknowledged)
