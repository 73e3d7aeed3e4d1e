"""What executions decides. Pure: rows, one event or due timer, the time; out come rows, records and timers.

    dispatched ── claim ──> running ── completed | failed | timed out | cancelled ──> ended
        ^                      │
        └──── retrying <───────┘  lost, retryable or handed back: epoch + 1

A dispatch is a hint that repeats; the claim decides who runs. Every answer names the epoch; whatever names
another one is stale and changes nothing. The first terminal state is the only one. A cancellation ends at once
what does not run; a running attempt is told to stop and keeps its lease until its worker says how it ended.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from penstock_schemas import records as r
from penstock_schemas import topics
from penstock_schemas.traces import TraceContext
from penstock_streams.executions import answers, leases, pace
from penstock_streams.executions import model as m
from penstock_streams.executions.timers import Timers
from penstock_streams.executions.transitions import next_attempt, work_of
from penstock_streams.kit import Decision, Event, Output, Rows, Timer, TimerDue
from penstock_streams.timing import SECOND_US
from penstock_streams.work import Work

replace = msgspec.structs.replace


@dataclass(frozen=True, slots=True)
class Executions(Timers):
    """The stage's decide function, bound to the operator's times."""

    def __call__(self, rows: Rows, event: Event | TimerDue, now: int) -> Decision:
        if isinstance(event, TimerDue):
            return self._timer(rows, event.name, now)
        match event.record:
            case r.StartExecution() as command:
                return self._start(rows, command, event.trace, now)
            case r.StopExecution() as command:
                return self._stop(rows, command, now)
            case r.ClaimLease() as claim:
                return self._claim(rows, claim, now)
            case r.Heartbeat() as heartbeat:
                return self._heartbeat(rows, heartbeat, now)
            case r.FinishAttempt() as finish:
                return self._finish(rows, finish, now)
        raise TypeError(f"executions does not handle {type(event.record).__name__}")

    def _start(self, rows: Rows, command: r.StartExecution, trace: TraceContext | None, now: int) -> Decision:
        if rows.get(m.execution_key(command.execution_id), m.Execution):
            return Decision()
        work = Work.of(command, trace)
        decision = Decision(puts={m.assignment_key(work.execution_id): m.Assignment(work)})
        self._dispatch(rows, work, m.Execution(command.tenant_id, "dispatched", epoch=1), now, decision)
        return decision

    def _stop(self, rows: Rows, command: r.StopExecution, now: int) -> Decision:
        key, decision = m.execution_key(command.execution_id), Decision()
        execution = rows.get(key, m.Execution)
        if execution is None or execution.state == "ended":
            return Decision(outputs=[answers.not_cancelled(command)])
        execution = replace(execution, cancelled_because=execution.cancelled_because or command.reason)
        if execution.state != "running":
            self._end_cancelled(rows, command.execution_id, execution, 0, now, decision)
            return decision
        pair = (command.execution_id, execution.epoch)
        decision.puts[key] = execution
        leases.stop(rows, execution.worker_id, pair, decision)
        decision.outputs.append(answers.revoked(command.tenant_id, execution.worker_id, pair, "cancelled"))
        return decision

    def _claim(self, rows: Rows, claim: r.ClaimLease, now: int) -> Decision:
        execution = rows.get(m.execution_key(claim.execution_id), m.Execution)
        refusal = _refusal(execution, claim)
        if refusal or execution is None:
            return Decision(outputs=[answers.denied(claim, refusal or "unknown")])
        pair = (claim.execution_id, claim.epoch)
        decision = Decision()
        if execution.state == "dispatched":
            work = work_of(rows, claim.execution_id)
            execution = replace(
                execution,
                state="running",
                attempts=execution.attempts + 1,
                worker_id=claim.worker_id,
                claim_id=claim.claim_id,
                deadline_at=now + work.timeout_s * SECOND_US,
            )
            decision.puts[m.execution_key(claim.execution_id)] = execution
            decision.timers += [
                Timer(f"dispatch/{claim.execution_id}", None),
                Timer(f"deadline/{claim.execution_id}", execution.deadline_at + self.times.deadline_slack_us),
            ]
            if claim.dispatch_seq == 1:  # how long hints lie now; a repeated one has waited for its repetition
                pace.observe(rows, work.queue, now - execution.dispatched_at, decision)
            started = r.AttemptStarted(
                tenant_id=work.tenant_id,
                execution_id=claim.execution_id,
                epoch=claim.epoch,
                worker_id=claim.worker_id,
                deadline_at=execution.deadline_at,
            )
            decision.outputs.append(Output(topics.EXECUTIONS_EVENTS, started))
        leases.grant(rows, claim.worker_id, pair, now + self.times.hold_us, decision)
        granted = r.LeaseGranted(
            tenant_id=execution.tenant_id,
            execution_id=claim.execution_id,
            epoch=claim.epoch,
            worker_id=claim.worker_id,
            claim_id=claim.claim_id,
            hold_ms=self.times.hold_us // 1000,
            deadline_at=execution.deadline_at,
        )
        decision.outputs.append(Output(topics.EXECUTIONS_LEASES, granted))
        return decision

    def _heartbeat(self, rows: Rows, heartbeat: r.Heartbeat, now: int) -> Decision:
        decision, worker_id = Decision(), heartbeat.worker_id
        listed = [(lease.execution_id, lease.epoch) for lease in heartbeat.leases]
        renewed = leases.renew(rows, worker_id, listed, now + self.times.hold_us, decision)
        for pair in [*renewed.not_held, *renewed.stopping]:
            execution = rows.get(m.execution_key(pair[0]), m.Execution)
            tenant_id = execution.tenant_id if execution else heartbeat.tenant_id
            reason = "cancelled" if pair in renewed.stopping else _why_not_held(execution, pair)
            decision.outputs.append(answers.revoked(tenant_id, worker_id, pair, reason))
        confirmed = r.LeaseConfirmed(
            tenant_id=heartbeat.tenant_id,
            worker_id=worker_id,
            partition=heartbeat.partition,
            heartbeat_seq=heartbeat.heartbeat_seq,
            hold_ms=self.times.hold_us // 1000,
        )
        decision.outputs.append(Output(topics.EXECUTIONS_LEASES, confirmed))
        return decision

    def _finish(self, rows: Rows, finish: r.FinishAttempt, now: int) -> Decision:
        execution = rows.get(m.execution_key(finish.execution_id), m.Execution)
        if (
            execution is None
            or execution.state != "running"
            or (execution.epoch, execution.worker_id) != (finish.epoch, finish.worker_id)
        ):
            return Decision(outputs=[answers.stale(finish, execution)])
        work, decision = work_of(rows, finish.execution_id), Decision()
        leases.release(rows, finish.worker_id, (finish.execution_id, finish.epoch), decision)
        if execution.cancelled_because is not None and finish.status != "completed":
            self._end_cancelled(rows, finish.execution_id, execution, finish.last_seq, now, decision)
            return decision
        ending = {**work.identity(), "epoch": finish.epoch, "attempts": execution.attempts}
        ending["last_seq"] = finish.last_seq
        match finish.status:
            case "completed":
                completed = r.ExecutionCompleted(
                    **ending,
                    output=finish.output,
                    output_ref=finish.output_ref,
                    artifacts_ref=finish.artifacts_ref,
                    artifacts=finish.artifacts,
                )
                self._end(execution, completed, "completed", now, decision, finish.used_tokens)
            case "timed_out":
                timed_out = r.ExecutionTimedOut(**ending, timeout_s=work.timeout_s)
                self._end(execution, timed_out, "timed_out", now, decision, finish.used_tokens)
            case "handed_back":
                execution = replace(execution, attempts=execution.attempts - 1)
                decision.outputs.append(answers.lost(execution, finish.execution_id, "handed_back"))
                self._dispatch(rows, work, next_attempt(execution), now, decision)
            case "failed" | "cancelled":  # cancelled unasked: a worker's mistake, and no result
                error_type, message = finish.error_type or "unknown", finish.error_message or ""
                if finish.retryable and execution.attempts < work.max_attempts:
                    failed = r.AttemptFailed(
                        tenant_id=work.tenant_id,
                        execution_id=finish.execution_id,
                        epoch=finish.epoch,
                        worker_id=finish.worker_id,
                        error_type=error_type,
                        error_message=message,
                        retry_at=now + self.times.retry_after_us(finish.execution_id, execution.attempts),
                    )
                    decision.outputs.append(Output(topics.EXECUTIONS_EVENTS, failed))
                    self._retry_later(execution, finish.execution_id, now, decision)
                else:
                    final = r.ExecutionFailed(**ending, error_type=error_type, error_message=message)
                    self._end(execution, final, "failed", now, decision, finish.used_tokens)
        return decision


def _refusal(execution: m.Execution | None, claim: r.ClaimLease) -> str | None:
    """Why a claim is denied; None where it is granted, also when it repeats one that was."""
    if execution is None:
        return "unknown"
    if execution.state == "ended":
        return "finished"
    if claim.epoch != execution.epoch:
        return "stale_epoch"
    if execution.state == "retrying":
        return "not_dispatched"
    if execution.state == "running":
        same = (execution.worker_id, execution.claim_id) == (claim.worker_id, claim.claim_id)
        return None if same else "held"
    return None


def _why_not_held(execution: m.Execution | None, pair: leases.Pair) -> str:
    if execution is None:
        return "unknown"
    if execution.state == "ended":
        return "finished"
    return "stale_epoch" if execution.epoch != pair[1] else "unknown"
