"""How an execution moves from one state to another: what each move writes, tells and times. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from penstock_schemas import records as r
from penstock_schemas import topics
from penstock_schemas.records.executions import TerminalEvent
from penstock_streams.executions import model as m
from penstock_streams.executions import pace
from penstock_streams.executions.policy import LeaseTimes
from penstock_streams.kit import Decision, Output, Rows, Timer
from penstock_streams.run_ends import run_ended
from penstock_streams.work import Work

replace = msgspec.structs.replace


@dataclass(frozen=True, slots=True)
class Transitions:
    """Adds to a decision what a move means; the stage's `decide` says when there is one."""

    times: LeaseTimes

    def _dispatch(self, rows: Rows, work: Work, execution: m.Execution, now: int, decision: Decision) -> None:
        """Offer the current epoch to whoever has a free slot, and come back if nobody claims it."""
        if execution.dispatch_seq == 1:
            execution = replace(execution, dispatched_at=now)
        overdue_us = max(self.times.repeat_after_us(execution.dispatch_seq), self._hint_lies_us(rows, work.queue))
        due = min(
            now + overdue_us,
            execution.dispatched_at + self.times.claimed_within_us,
        )
        decision.puts[m.execution_key(work.execution_id)] = execution
        decision.timers += [
            Timer(f"deadline/{work.execution_id}", None),
            Timer(f"dispatch/{work.execution_id}", due),
        ]
        hint = r.ExecutionDispatched(**work.fields(), epoch=execution.epoch, dispatch_seq=execution.dispatch_seq)
        decision.outputs.append(Output(topics.dispatch_topic(work.queue), hint))

    def _hint_lies_us(self, rows: Rows, queue: str) -> int:
        """How long a hint of this queue may lie before it is overdue; after an outage no longer than any may."""
        return min(pace.hint_lies_us(rows, queue), self.times.repeat_most_us)

    def _retry_later(self, execution: m.Execution, execution_id: str, now: int, decision: Decision) -> None:
        due = now + self.times.retry_after_us(execution_id, execution.attempts)
        decision.puts[m.execution_key(execution_id)] = replace(next_attempt(execution), state="retrying")
        decision.timers += [Timer(f"deadline/{execution_id}", None), Timer(f"retry/{execution_id}", due)]

    def _end_cancelled(
        self,
        rows: Rows,
        execution_id: str,
        execution: m.Execution,
        last_seq: int,
        now: int,
        decision: Decision,
    ) -> None:
        cancelled = r.ExecutionCancelled(
            **work_of(rows, execution_id).identity(),
            epoch=execution.epoch,
            attempts=execution.attempts,
            last_seq=last_seq,
            reason=execution.cancelled_because or "",
        )
        self._end(execution, cancelled, "cancelled", now, decision)

    def _end(
        self,
        execution: m.Execution,
        event: TerminalEvent,
        status: str,
        now: int,
        decision: Decision,
        used_tokens: int | None = None,
    ) -> None:
        """The one terminal state: tell followers and whoever waits for it, let accounts settle, forget the work,
        remember the end."""
        key = m.execution_key(event.execution_id)
        settle = r.SettleExecution(
            tenant_id=event.tenant_id,
            execution_id=event.execution_id,
            status=status,
            accepted_epoch=event.epoch if status == "completed" else None,
        )
        decision.outputs += [Output(topics.EXECUTIONS_EVENTS, event), Output(topics.ACCOUNTS_COMMANDS, settle)]
        decision.outputs += run_ended(event, used_tokens=used_tokens)
        decision.puts[key] = replace(execution, state="ended")
        decision.deletes.append(m.assignment_key(event.execution_id))
        decision.timers += [
            Timer(f"{kind}/{event.execution_id}", None) for kind in ("deadline", "dispatch", "retry")
        ]
        decision.timers.append(Timer(key, now + self.times.ended_kept_us))


def work_of(rows: Rows, execution_id: str) -> Work:
    """What an execution that has not ended is to do."""
    assignment = rows.get(m.assignment_key(execution_id), m.Assignment)
    if assignment is None:
        raise LookupError(f"the work of {execution_id} is missing though it has not ended")
    return assignment.work


def next_attempt(execution: m.Execution) -> m.Execution:
    """The same under the next epoch, held by nobody."""
    return replace(
        execution,
        state="dispatched",
        epoch=execution.epoch + 1,
        dispatch_seq=1,
        worker_id="",
        claim_id="",
        deadline_at=0,
    )
