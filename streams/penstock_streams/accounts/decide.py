"""What accounts decides. Pure: rows, one event or due timer, the time; out come rows, records and timers.

A request is answered once per request_id: rejected, queued, or admitted. Admitted executions count against
the tenant's concurrency until executions settles them; then the next in arrival order is admitted. A queued
request is cancelled here, an admitted one by executions. What a request may cost is reserved in the budgets of its
tenant and user before it is admitted or queued, until executions settles it. Usage is charged or quarantined once
per usage_id; what was quarantined for want of a price is charged once one is listed for its time. A closed month
takes no more lines: what belongs to it counts in the first open one.
"""

from __future__ import annotations

from dataclasses import dataclass

from msgspec.structs import replace

from penstock_schemas import records as r
from penstock_schemas import topics
from penstock_streams.accounts import model as m
from penstock_streams.accounts.admission import answer_check, answer_request, problem_with_tenant
from penstock_streams.accounts.books import Books
from penstock_streams.accounts.charging import charge, counted, remembered_until_us
from penstock_streams.accounts.closing import close_period
from penstock_streams.accounts.configuring import configure_tenant, configure_user, tenant_of
from penstock_streams.accounts.correcting import correct_usage
from penstock_streams.accounts.listing import list_prices
from penstock_streams.accounts.policy import ANSWERS_KEPT_US, Policy
from penstock_streams.accounts.pools import release_pipeline, reserve_pipeline
from penstock_streams.accounts.queue import cancel_queued, release
from penstock_streams.accounts.repricing import keep_unpriced, reprice
from penstock_streams.accounts.reservations import (
    book_charge,
    book_quarantined,
    came_too_late,
    close_reservation,
    start_call,
)
from penstock_streams.kit import Decision, Event, Output, Rows, Timer, TimerDue


@dataclass(frozen=True, slots=True)
class Accounts:
    """The stage's decide function, bound to the operator's policy."""

    policy: Policy

    def __call__(self, rows: Rows, event: Event | TimerDue, now: int) -> Decision:
        if isinstance(event, TimerDue):
            return self._timer(rows, event.name, now)
        match event.record:
            case r.RequestExecution() as request:
                return answer_request(rows, self.policy, request, event)
            case r.CancelExecution() as cancel:
                return self._cancel(rows, cancel, event)
            case r.SettleExecution() as settled:
                return self._settle(rows, settled, event, now)
            case r.StartCall() as call:
                return start_call(rows, call)
            case r.RecordUsage() as usage:
                return self._usage(rows, usage, event)
            case r.CheckBudget() as check:
                return answer_check(rows, self.policy, check, event)
            case r.ConfigureTenant() as command:
                return configure_tenant(rows, self.policy, command, now)
            case r.ConfigureUser() as command:
                return configure_user(rows, command)
            case r.ListPrice() as command:
                return list_prices(rows, self.policy, command, event.partition, now)
            case r.ClosePeriod() as command:
                return close_period(rows, command, event.partition)
            case r.ReservePipeline() as command:
                tenant = tenant_of(rows, self.policy, command.tenant_id)
                return reserve_pipeline(rows, self.policy, command, problem_with_tenant(tenant), event)
            case r.ReleasePipeline() as command:
                return release_pipeline(rows, command, event)
            case r.CorrectUsage() as command:
                return correct_usage(rows, self.policy, command, event)
        raise TypeError(f"accounts does not handle {type(event.record).__name__}")

    def _timer(self, rows: Rows, name: str, now: int) -> Decision:
        kind, _, identity = name.partition("/")
        if kind == "reprice":
            return reprice(rows, self.policy, identity, now)
        if kind != "release":
            return Decision(deletes=[name])  # the end of a remembered answer, usage_id or pool
        decision, tenant = Decision(), tenant_of(rows, self.policy, identity)
        if tenant is not None:
            release(rows, identity, tenant, now, decision)
        return decision

    def _cancel(self, rows: Rows, cancel: r.CancelExecution, event: Event) -> Decision:
        key = m.answer_key(cancel.execution_id)
        answer = rows.get(key, m.Answer)
        if answer is None or answer.tenant_id != cancel.tenant_id:  # another tenant's does not exist for this one
            return _not_cancelled(cancel, "unknown_execution", "this tenant has no such execution, or forgot it")
        reason = cancel.reason[: topics.MAX_REASON_CHARS]
        match answer.state:
            case "queued":
                return cancel_queued(rows, cancel.tenant_id, answer, reason, event.timestamp + ANSWERS_KEPT_US)
            case "admitted":
                stop = r.StopExecution(
                    tenant_id=cancel.tenant_id,
                    execution_id=cancel.execution_id,
                    reason=reason,
                    requested_by=cancel.event_id,
                )
                return Decision(outputs=[Output(topics.EXECUTIONS_COMMANDS, stop)])
        return _not_cancelled(cancel, "finished", "it has ended already")

    def _settle(self, rows: Rows, settled: r.SettleExecution, event: Event, now: int) -> Decision:
        key = m.answer_key(settled.execution_id)
        answer = rows.get(key, m.Answer)
        tenant = tenant_of(rows, self.policy, settled.tenant_id)
        if answer is None or answer.state != "admitted" or tenant is None:
            return Decision()  # settled before: a slot is freed once
        forget = Timer(key, event.timestamp + ANSWERS_KEPT_US)
        settled_answer = replace(answer, state="settled", accepted_epoch=settled.accepted_epoch)
        decision = Decision(puts={key: settled_answer}, timers=[forget])
        books = Books(rows, settled.tenant_id)
        close_reservation(rows, books, settled.tenant_id, settled.execution_id, settled.accepted_epoch, decision)
        books.into(decision)
        freed = replace(tenant, active=tenant.active - 1)
        release(rows, settled.tenant_id, freed, now, decision)
        return decision

    def _usage(self, rows: Rows, usage: r.RecordUsage, event: Event) -> Decision:
        key = m.counted_key(usage.tenant_id, usage.usage_id)
        if rows.get(key, m.Counted):
            return Decision()
        line = charge(rows, self.policy, usage, event)
        decision, books = Decision(puts={key: counted(usage, line, event)}), Books(rows, usage.tenant_id)
        decision.timers.append(Timer(key, remembered_until_us(usage.occurred_at, event.timestamp)))
        if isinstance(line, r.UsageCharged):
            if came_too_late(rows, line):
                line = line.model_copy(update={"wasted": True})
            book_charge(rows, books, line, decision)
        else:
            book_quarantined(rows, books, line, decision)
            if line.reason == "unknown_model":
                keep_unpriced(rows, self.policy, line, event, decision)
        books.into(decision)
        decision.outputs.append(Output(topics.ACCOUNTS_EVENTS, line))
        return decision


def _not_cancelled(cancel: r.CancelExecution, reason: str, detail: str) -> Decision:
    refused = r.CancelRefused(
        tenant_id=cancel.tenant_id,
        execution_id=cancel.execution_id,
        refused_event_id=cancel.event_id,
        reason=reason,
        detail=detail,
    )
    return Decision(outputs=[Output(topics.EXECUTIONS_EVENTS, refused)])
