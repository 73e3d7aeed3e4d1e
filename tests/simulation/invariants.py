"""What must hold after every step, and at the end. Sees the log and the runs, not what processes believe."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from penstock_schemas import records as r
from penstock_schemas.ids import execution_id
from penstock_schemas.records.executions import TerminalEvent
from penstock_schemas.topics import CONVERSATIONS_EVENTS, EXECUTIONS_EVENTS, PIPELINES_EVENTS, PIPELINES_REQUESTS
from penstock_streams.kit import Event, TimerDue
from tests.simulation.log import Entry, Log, PartitionLog, ProducerFenced, Transaction
from tests.simulation.piping import PipelineMonitor
from tests.simulation.scheduler import Scheduler
from tests.simulation.talking import TurnMonitor
from tests.simulation.violations import Violation

if TYPE_CHECKING:
    from tests.simulation.process import Process
    from tests.simulation.run import Run

Attempt = tuple[str, int]


class Monitor:
    """Told everything that becomes visible, as it does.

    Args:
        limits: concurrency by tenant.
    """

    def __init__(self, scheduler: Scheduler, log: Log, limits: Mapping[str, int]) -> None:
        self.requested: dict[str, str] = {}
        """Tenant by execution, of what an outside producer got acknowledged."""
        self.answers: dict[str, set[str]] = defaultdict(set)
        self.ended: dict[str, TerminalEvent] = {}
        self.cancels: set[str] = set()
        """Executions whose own tenant has asked for their end."""
        self.reported: dict[str, int] = {}
        self.counted: dict[str, str] = {}
        self._scheduler = scheduler
        self._log = log
        self._limits = limits
        self._active: Counter[str] = Counter()
        self._started: dict[str, int] = {}
        self._dispatched: dict[str, int] = {}
        self._holder: dict[Attempt, str] = {}
        self._calls: dict[Attempt, list[str]] = defaultdict(list)
        self._runs: dict[str, dict[Run, int]] = defaultdict(dict)
        self._ends: set[tuple[Attempt, str | None, str]] = set()
        self._lost: set[Attempt] = set()
        self._died: dict[str, int] = {}
        self._consumed: set[tuple[str, int, int]] = set()
        self.turns = TurnMonitor()
        self.pipelines = PipelineMonitor()
        self._see: dict[type[r.Record], Callable[[Any], None]] = {
            r.ExecutionAdmitted: self._admitted,
            r.ExecutionQueued: self._queued,
            r.ExecutionRejected: self._rejected,
            r.AttemptStarted: self._attempt_started,
            r.AttemptFailed: self._attempt_failed,
            r.AttemptLost: self._attempt_lost,
            r.ExecutionDispatched: self._dispatch,
            r.LeaseGranted: self._granted,
            r.ExecutionCompleted: self._terminal,
            r.ExecutionFailed: self._terminal,
            r.ExecutionTimedOut: self._terminal,
            r.ExecutionCancelled: self._cancelled,
            r.CancelRefused: self._not_cancelled,
            r.UsageCharged: self._charge,
            r.UsageQuarantined: self._charge,
            r.DeadLetter: self._dead_letter,
            r.RequestExecution: self._requests,
            r.CancelExecution: self._cancels,
            r.FinishTurn: self.turns.finishes,
            r.FinishStage: self.pipelines.finishes,
            **dict.fromkeys(CONVERSATIONS_EVENTS.records, self.turns.sees),
            **dict.fromkeys(PIPELINES_EVENTS.records, self.pipelines.sees),
        }

    # The log

    def appended(self, entry: Entry) -> None:
        """A record was written outside a transaction."""
        record = self._log.record(entry)
        if self._scheduler.trace is not None:
            self._scheduler.note("appended", entry.topic, entry.partition, entry.offset, _short(record))
        match record:
            case r.FinishAttempt() as finish:
                for usage_id in self._calls[finish.execution_id, finish.epoch]:
                    if usage_id not in self.reported:
                        raise Violation("no silent spend", f"{_short(finish)} before usage {usage_id}")
            case r.RecordUsage() as usage:
                self.reported[usage.usage_id] = entry.at
            case r.CancelExecution() as cancel:
                if cancel.tenant_id != "stranger":
                    self._cancels(cancel)
            case r.RequestExecution() as request:
                self._requests(request)
            case r.PostMessage() as message:
                self.turns.posts(message)
            case r.StartPipeline() as start:
                self.pipelines.asked(start)
        if entry.topic == PIPELINES_REQUESTS.name:
            self.pipelines.unread[record.event_id] += 1

    def committed(self, transaction: Transaction) -> None:
        """A transaction was decided. Lifecycle events are looked at first: topics of a batch have no order."""
        for entry in sorted(transaction.entries, key=lambda entry: entry.topic != EXECUTIONS_EVENTS.name):
            if entry.topic.endswith("-changelog"):
                continue
            record = self._log.record(entry)
            if self._scheduler.trace is not None:
                self._scheduler.note(transaction.owner, "commits", _short(record))
            if see := self._see.get(type(record)):
                see(record)

    def _requests(self, request: r.RequestExecution) -> None:
        self.requested[execution_id(request.tenant_id, request.request_id)] = request.tenant_id

    def _cancels(self, cancel: r.CancelExecution) -> None:
        self.cancels.add(cancel.execution_id)

    def _answered(self, record: Any, answer: str, *excludes: str) -> None:
        answers = self.answers[record.execution_id]
        if answers & {answer, *excludes}:
            raise Violation("a request is answered once", f"{answer} after {sorted(answers)}: {_short(record)}")
        answers.add(answer)

    def _queued(self, queued: r.ExecutionQueued) -> None:
        self._answered(queued, "queued", "admitted", "rejected")

    def _rejected(self, rejected: r.ExecutionRejected) -> None:
        self._answered(rejected, "rejected", "admitted", "queued")

    def _admitted(self, admitted: r.ExecutionAdmitted) -> None:
        self._answered(admitted, "admitted", "rejected", "cancelled")
        tenant = admitted.tenant_id
        self._active[tenant] += 1
        if self._active[tenant] > self._limits[tenant]:
            detail = f"{self._active[tenant]} of {tenant} at once, limit {self._limits[tenant]}"
            raise Violation("concurrency is never exceeded", detail)

    def _attempt_started(self, started: r.AttemptStarted) -> None:
        execution, epoch = started.execution_id, started.epoch
        if "admitted" not in self.answers[execution]:
            raise Violation("only what was admitted runs", _short(started))
        if execution in self.ended:
            raise Violation("nothing starts after the end", _short(started))
        if epoch <= self._started.get(execution, 0):
            raise Violation("epochs only grow", f"{_short(started)} after {self._started[execution]}")
        self._started[execution] = epoch
        self._holder[execution, epoch] = started.worker_id

    def _dispatch(self, dispatched: r.ExecutionDispatched) -> None:
        last = self._dispatched.get(dispatched.execution_id, 0)
        if dispatched.epoch < last:
            raise Violation("epochs only grow", f"{_short(dispatched)} after {last}")
        self._dispatched[dispatched.execution_id] = dispatched.epoch

    def _granted(self, granted: r.LeaseGranted) -> None:
        holder = self._holder.get((granted.execution_id, granted.epoch))
        if holder != granted.worker_id:
            raise Violation("an attempt has one holder", f"{_short(granted)}, held by {holder}")

    def _terminal(self, end: TerminalEvent) -> None:
        execution = end.execution_id
        if execution in self.ended:
            raise Violation("one terminal event", f"{_short(end)} after {_short(self.ended[execution])}")
        self.ended[execution] = end
        self._active[end.tenant_id] -= 1
        if isinstance(end, r.ExecutionCompleted):
            expected = f"{self._holder.get((execution, end.epoch))}/{end.epoch}"
            if end.epoch != self._started.get(execution) or end.output != expected:
                detail = f"{_short(end)} has output {end.output}, the last attempt is {expected}"
                raise Violation("the accepted result is the lease holder's", detail)
        elif isinstance(end, r.ExecutionFailed) and end.error_type != "attempts_exhausted":
            self._ended_as((execution, end.epoch), "failed", end)

    def _cancelled(self, end: r.ExecutionCancelled) -> None:
        if end.execution_id not in self.cancels:
            raise Violation("only what was to be cancelled is", _short(end))
        if "admitted" not in self.answers[end.execution_id]:  # it waited in its tenant's queue and has no slot
            self._answered(end, "cancelled", "rejected")
            self._active[end.tenant_id] += 1
        self._terminal(end)

    def _not_cancelled(self, refused: r.CancelRefused) -> None:
        alive = refused.execution_id in self.answers and refused.execution_id not in self.ended
        if refused.reason == "finished" and alive and "rejected" not in self.answers[refused.execution_id]:
            raise Violation("what lives can be cancelled", _short(refused))

    def _attempt_failed(self, failed: r.AttemptFailed) -> None:
        self._ended_as((failed.execution_id, failed.epoch), "failed", failed)

    def _attempt_lost(self, lost: r.AttemptLost) -> None:
        self._lost.add((lost.execution_id, lost.epoch))
        if lost.reason == "lease_expired":
            for run, until in self._runs[lost.execution_id].items():
                if run.key.epoch == lost.epoch and until > self._scheduler.now:
                    detail = (
                        f"{_short(lost)}, which may act for another {(until - self._scheduler.now) / 1e6:.2f} s"
                    )
                    raise Violation("no lease expires while its holder may act", detail)
        else:
            self._ended_as((lost.execution_id, lost.epoch), "handed_back", lost)

    def _ended_as(self, attempt: Attempt, status: str, event: Any) -> None:
        """The holder of the attempt said so, of this attempt."""
        if (attempt, self._holder.get(attempt), status) not in self._ends:
            raise Violation("an attempt ends as its holder says", f"{_short(event)} was never reported {status}")

    def _charge(self, line: r.UsageCharged | r.UsageQuarantined) -> None:
        if line.usage_id in self.counted:
            raise Violation("nothing is charged twice", f"{_short(line)} {line.usage_id}")
        self.counted[line.usage_id] = type(line).__name__

    def _dead_letter(self, letter: r.DeadLetter) -> None:
        detail = f"{letter.source_topic}: {letter.error_code}: {letter.error_message}"
        raise Violation("nothing here is poison", detail)

    # Processes

    def crashed(self, process: Process, actor: str, error: Exception) -> None:
        if not isinstance(error, ProducerFenced):
            raise Violation("only fencing ends a process", f"{process.id} {actor}: {error!r}") from error

    def consumed(self, events: Sequence[Event]) -> None:
        """A transaction made from these was committed."""
        for event in events:
            coordinates = (event.topic, event.partition, event.offset)
            if coordinates in self._consumed:
                raise Violation("a record is consumed once", "{}/{}@{}".format(*coordinates))
            self._consumed.add(coordinates)
            if event.topic == PIPELINES_REQUESTS.name:
                self.pipelines.consumes(event.record, self._scheduler.now)

    def fired(
        self,
        process: Process,
        timer: TimerDue,
        inputs: Sequence[PartitionLog],
        positions: Mapping[str, int],
    ) -> None:
        """A task folds a timer: whatever was in its inputs when it fell due has been read."""
        for log in inputs:
            unread = log.entries[positions[log.topic] :]
            if unread and process.wall(unread[0].at) < timer.due:
                detail = f"{timer.name} on {process.id}, {log.topic}/{log.number} read to {positions[log.topic]}"
                raise Violation("timers never fire on unread input", detail)

    # Runs

    def run_begins(self, run: Run, worker: Process) -> None:
        self._scheduler.note(worker.id, "runs", *run.key)
        self.run_extended(run, worker)

    def run_extended(self, run: Run, worker: Process) -> None:
        """`run` may act until its deadline."""
        now, runs = self._scheduler.now, self._runs[run.key.execution_id]
        runs[run] = now + worker.until_boottime(run.deadline_s)
        others = [other for other, until in runs.items() if other is not run and until > now]
        if others and runs[run] > now:
            detail = f"{run.key} on {worker.id} while attempt {others[0].key.epoch} may act for another "
            detail += f"{(runs[others[0]] - now) / 1e6:.2f} s"
            raise Violation("two workers never run one execution", detail)

    def run_ends(self, run: Run) -> None:
        self._runs[run.key.execution_id].pop(run, None)

    def called(self, attempt: Attempt, usage_id: str) -> None:
        """A call of the provider; two of them under one id would be charged as one."""
        if usage_id in self._calls[attempt]:
            raise Violation("no silent spend", f"two calls of {attempt} are {usage_id}")
        self._calls[attempt].append(usage_id)

    def reported_end(self, finish: r.FinishAttempt) -> None:
        """A worker is about to send this."""
        self._ends.add(((finish.execution_id, finish.epoch), finish.worker_id, finish.status))

    def died(self, worker_id: str) -> None:
        self._died[worker_id] = self._scheduler.now

    def check_losses(self, calm_since: int, within_us: int) -> None:
        """Attempts of dead workers are known to be lost within `within_us` of the death, or of calm."""
        for execution, epoch in self._started.items():
            attempt = (execution, epoch)
            died = self._died.get(self._holder[attempt])
            if died is None or execution in self.ended or attempt in self._lost or self._failed(attempt):
                continue
            if self._scheduler.now > max(died, calm_since) + within_us:
                raise Violation("a dead worker's lease runs out", f"{attempt} of {self._holder[attempt]}")

    def _failed(self, attempt: Attempt) -> bool:
        return (attempt, self._holder[attempt], "failed") in self._ends

    # The end

    def open_ends(self) -> str | None:
        """What is not over yet; None where everything requested has ended and everything reported is counted."""
        for execution in self.requested:
            if execution not in self.ended and "rejected" not in self.answers[execution]:
                return f"execution {execution} has not ended (answers: {sorted(self.answers[execution])})"
        for usage in self.reported:
            if usage not in self.counted:
                return f"usage {usage} is neither charged nor quarantined"
        return self.turns.open_ends() or self.pipelines.open_ends(self._scheduler.now)

    def check_end(self) -> None:
        """Call it once nothing is open any more."""
        for execution, end in self.ended.items():
            if isinstance(end, r.ExecutionCompleted):
                for usage in self._calls[execution, end.epoch]:
                    if usage not in self.counted:
                        raise Violation("no silent spend", f"{usage} of the accepted result of {execution}")


def _short(record: Any) -> str:
    fields = ("execution_id", "epoch", "worker_id", "status", "reason", "dispatch_seq", "usage_id", "request_id")
    shown = [str(getattr(record, name))[:12] for name in fields if getattr(record, name, None) is not None]
    return " ".join([type(record).__name__, *shown])
