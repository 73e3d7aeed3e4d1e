"""What executions decides when a timer is due. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from penstock_schemas import records as r
from penstock_streams.executions import answers, leases
from penstock_streams.executions import model as m
from penstock_streams.executions.transitions import Transitions, next_attempt, work_of
from penstock_streams.kit import Decision, Rows, Timer
from penstock_streams.timing import SECOND_US

replace = msgspec.structs.replace


@dataclass(frozen=True, slots=True)
class Timers(Transitions):
    """One method a timer; each looks at the row again, because a timer may outlive its reason."""

    def _timer(self, rows: Rows, name: str, now: int) -> Decision:
        kind, _, identity = name.partition("/")
        match kind:
            case "dispatch":
                return self._repeat(rows, identity, now)
            case "retry":
                return self._retry(rows, identity, now)
            case "deadline":
                return self._deadline(rows, identity, now)
            case "leases":
                return self._expire(rows, identity, now)
            case "execution":
                return Decision(deletes=[name])  # an ended execution has been remembered long enough
        raise ValueError(f"executions has no timer {name!r}")

    def _repeat(self, rows: Rows, execution_id: str, now: int) -> Decision:
        execution, decision = rows.get(m.execution_key(execution_id), m.Execution), Decision()
        if execution and execution.state == "dispatched":
            work, waited_us = work_of(rows, execution_id), now - execution.dispatched_at
            if waited_us >= self.times.claimed_within_us:
                nobody = r.ExecutionFailed(
                    **work.identity(),
                    epoch=execution.epoch,
                    attempts=execution.attempts,
                    error_type="not_claimed",
                    error_message=f"no worker of queue {work.queue} took it within {waited_us // SECOND_US} s",
                    last_seq=0,
                )
                self._end(execution, nobody, "failed", now, decision)
            elif waited_us < (lies_us := self._hint_lies_us(rows, work.queue)):  # it waits its turn
                due = execution.dispatched_at + min(lies_us, self.times.claimed_within_us)
                decision.timers.append(Timer(f"dispatch/{execution_id}", due))
            else:
                again = replace(execution, dispatch_seq=execution.dispatch_seq + 1)
                self._dispatch(rows, work, again, now, decision)
        return decision

    def _retry(self, rows: Rows, execution_id: str, now: int) -> Decision:
        execution, decision = rows.get(m.execution_key(execution_id), m.Execution), Decision()
        if execution and execution.state == "retrying":
            self._dispatch(
                rows, work_of(rows, execution_id), replace(execution, state="dispatched"), now, decision
            )
        return decision

    def _deadline(self, rows: Rows, execution_id: str, now: int) -> Decision:
        execution, decision = rows.get(m.execution_key(execution_id), m.Execution), Decision()
        if execution and execution.state == "running" and execution.deadline_at <= now:
            work, pair = work_of(rows, execution_id), (execution_id, execution.epoch)
            leases.release(rows, execution.worker_id, pair, decision)
            decision.outputs.append(answers.revoked(work.tenant_id, execution.worker_id, pair, "timed_out"))
            if execution.cancelled_because is not None:
                self._end_cancelled(rows, execution_id, execution, 0, now, decision)
                return decision
            timed_out = r.ExecutionTimedOut(
                **work.identity(),
                epoch=execution.epoch,
                attempts=execution.attempts,
                timeout_s=work.timeout_s,
                last_seq=0,  # only the worker knows, and it did not say
            )
            self._end(execution, timed_out, "timed_out", now, decision)
        return decision

    def _expire(self, rows: Rows, worker_id: str, now: int) -> Decision:
        decision = Decision()
        for lease in leases.expire(rows, worker_id, now, decision):
            execution = rows.get(m.execution_key(lease.execution_id), m.Execution)
            if execution is None or execution.state != "running" or execution.epoch != lease.epoch:
                continue
            decision.outputs.append(answers.lost(execution, lease.execution_id, "lease_expired"))
            if execution.cancelled_because is not None:
                self._end_cancelled(rows, lease.execution_id, execution, 0, now, decision)
                continue
            work = work_of(rows, lease.execution_id)
            if execution.attempts < work.max_attempts:  # at once: it has waited for the whole lease
                self._dispatch(rows, work, next_attempt(execution), now, decision)
                continue
            failed = r.ExecutionFailed(
                **work.identity(),
                epoch=execution.epoch,
                attempts=execution.attempts,
                error_type="attempts_exhausted",
                error_message=f"all {execution.attempts} attempts were lost with their workers",
                last_seq=0,
            )
            self._end(execution, failed, "failed", now, decision)
        return decision
