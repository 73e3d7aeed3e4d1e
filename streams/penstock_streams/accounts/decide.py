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

from penstock_schemas import ids, topics
from penstock_schemas import records as r
from penstock_streams.accounts import model as m
from penstock_streams.accounts.books import Books
from penstock_streams.accounts.charging import charge, counted, remembered_until_us
from penstock_streams.accounts.closing import close_period
from penstock_streams.accounts.configuring import configure_tenant, configure_user, tenant_of
from penstock_streams.accounts.correcting import correct_usage
from penstock_streams.accounts.listing import list_prices
from penstock_streams.accounts.policy import ANSWERS_KEPT_US, Policy
from penstock_streams.accounts.pools import draw, pool_of, problem_with_pool, release_pipeline, reserve_pipeline
from penstock_streams.accounts.prices import price_at
from penstock_streams.accounts.queue import admitted, cancel_queued, release
from penstock_streams.accounts.repricing import keep_unpriced, reprice
from penstock_streams.accounts.reservations import (
    Wanted,
    book_charge,
    book_quarantined,
    came_too_late,
    close_reservation,
    problem_with_budget,
    reserve,
    start_call,
    wanted_by,
)
from penstock_streams.accounts.validation import (
    DEFAULT_ATTEMPTS,
    DEFAULT_TIMEOUT_S,
    MAX_RESERVED_TOKENS,
    Problem,
    problem_with,
    request_digest,
)
from penstock_streams.kit import Decision, Event, Output, Rows, Timer, TimerDue
from penstock_streams.run_ends import run_ended
from penstock_streams.timing import month_start_us, period_of
from penstock_streams.work import Work


@dataclass(frozen=True, slots=True)
class Accounts:
    """The stage's decide function, bound to the operator's policy."""

    policy: Policy

    def __call__(self, rows: Rows, event: Event | TimerDue, now: int) -> Decision:
        if isinstance(event, TimerDue):
            return self._timer(rows, event.name, now)
        match event.record:
            case r.RequestExecution() as request:
                return self._request(rows, request, event)
            case r.CancelExecution() as cancel:
                return self._cancel(rows, cancel, event)
            case r.SettleExecution() as settled:
                return self._settle(rows, settled, event, now)
            case r.StartCall() as call:
                return start_call(rows, call)
            case r.RecordUsage() as usage:
                return self._usage(rows, usage, event)
            case r.CheckBudget() as check:
                return self._check(rows, check, event)
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
                return reserve_pipeline(rows, self.policy, command, _problem_with_tenant(tenant), event)
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

    def _request(self, rows: Rows, request: r.RequestExecution, event: Event) -> Decision:
        execution_id = ids.execution_id(request.tenant_id, request.request_id)
        key, digest = m.answer_key(execution_id), request_digest(request)
        if answer := rows.get(key, m.Answer):
            return Decision() if answer.request_digest == digest else _refused(request, execution_id)

        tenant = tenant_of(rows, self.policy, request.tenant_id)
        of_pipeline = request.parent_reservation is not None
        problem = problem_with(request, event.timestamp, self.policy.queues) or _problem_with_tenant(tenant)
        if not problem and not of_pipeline:  # a pipeline was admitted whole, so its stages wait however many do
            problem = _problem_with_queue(tenant)
        if problem or tenant is None:
            return _rejected(request, execution_id, digest, problem or _UNKNOWN_TENANT, event.timestamp)

        work = Work.requested(
            request,
            execution_id,
            timeout_s=request.timeout_s or DEFAULT_TIMEOUT_S,
            max_attempts=request.max_attempts or DEFAULT_ATTEMPTS,
            trace=event.trace,
        )
        decision = Decision()
        books = Books(rows, request.tenant_id)
        budgets = books.roll(request.user_id, period_of(event.timestamp))
        price = price_at(rows, self.policy, request.model, event.timestamp) if request.model else None
        ceiling = wanted_by(request).ceiling(price)
        pool = pool_of(rows, request)
        if of_pipeline:
            problem = problem_with_pool(books, pool, ceiling, request.model, priced=price is not None)
        else:
            problem = problem_with_budget(books, budgets, ceiling, request.model, priced=price is not None)
        if problem:
            return _rejected(request, execution_id, digest, problem, event.timestamp)
        if pool is not None:
            work = draw(books, request, pool, work, ceiling, decision)
        else:
            work = reserve(books, budgets, work, ceiling, decision)
        books.into(decision)
        answer = m.Answer(
            request.tenant_id,
            digest,
            "admitted",
            pipeline_id=request.pipeline_id,
            conversation_id=request.conversation_id,
        )
        if tenant.active < tenant.concurrency and not tenant.waiting:
            decision.puts[key] = answer
            decision.outputs += admitted(work, tenant)
            tenant = replace(tenant, active=tenant.active + 1)
        else:
            decision.puts[key] = replace(answer, state="queued", arrival=tenant.tail)
            decision.puts[m.waiting_key(request.tenant_id, tenant.tail)] = m.Waiting(work)
            queued = r.ExecutionQueued(**work.identity(), model=work.model, queue=work.queue, position=tenant.tail)
            decision.outputs.append(Output(topics.EXECUTIONS_EVENTS, queued))
            tenant = replace(tenant, tail=tenant.tail + 1)
        decision.puts[m.tenant_key(request.tenant_id)] = tenant
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

    def _check(self, rows: Rows, check: r.CheckBudget, event: Event) -> Decision:
        """What a request of this size would be answered now; changes nothing."""
        books = Books(rows, check.tenant_id)
        budgets = books.roll(check.user_id, period_of(event.timestamp))
        price = price_at(rows, self.policy, check.model, event.timestamp) if check.model else None
        tenant = tenant_of(rows, self.policy, check.tenant_id)
        problem = _problem_with_tenant(tenant) or _problem_with_queue(tenant)
        if not problem and not 0 <= check.tokens <= MAX_RESERVED_TOKENS:
            problem = Problem("invalid_request", f"tokens must be 0 to {MAX_RESERVED_TOKENS}, was {check.tokens}")
        if not problem:
            ceiling = Wanted(0, check.tokens).ceiling(price)
            problem = problem_with_budget(books, budgets, ceiling, check.model, priced=price is not None)
        checked = r.BudgetChecked(
            tenant_id=check.tenant_id,
            asked_event_id=check.event_id,
            user_id=check.user_id,
            admitted=problem is None,
            reason=problem.reason if problem else "",
            detail=problem.detail if problem else "",
            tokens_left=books.left(budgets, "tokens"),
            nanousd_left=books.left(budgets, "nanousd"),
            resets_at=month_start_us(event.timestamp, 1),
        )
        return Decision(outputs=[Output(topics.ACCOUNTS_EVENTS, checked)])


_OF_WHAT = {"user_id", "agent_type", "conversation_id", "turn_number", "pipeline_id", "stage_index"}
_UNKNOWN_TENANT = Problem("unknown_tenant", "no such tenant is configured; see: penstock tenants set")


def _problem_with_tenant(tenant: m.Tenant | None) -> Problem | None:
    if tenant is None:
        return _UNKNOWN_TENANT
    if tenant.suspended:
        return Problem("tenant_suspended", "the operator suspended this tenant")
    return None


def _problem_with_queue(tenant: m.Tenant | None) -> Problem | None:
    if tenant is not None and tenant.active >= tenant.concurrency and tenant.waiting >= tenant.queue_limit:
        return Problem("queue_full", f"{tenant.waiting} requests of this tenant already wait")
    return None


def _rejected(
    request: r.RequestExecution, execution_id: str, digest: str, problem: Problem, received_us: int
) -> Decision:
    key = m.answer_key(execution_id)
    rejected = r.ExecutionRejected(
        tenant_id=request.tenant_id,
        execution_id=execution_id,
        request_id=request.request_id,
        user_id=request.user_id,
        agent_type=request.agent_type[:128],
        conversation_id=request.conversation_id,
        turn_number=request.turn_number,
        pipeline_id=request.pipeline_id,
        stage_index=request.stage_index,
        reason=problem.reason,
        detail=problem.detail,
    )
    return Decision(
        puts={key: m.Answer(request.tenant_id, digest, "rejected")},
        outputs=[Output(topics.EXECUTIONS_EVENTS, rejected), *run_ended(rejected)],
        timers=[Timer(key, received_us + ANSWERS_KEPT_US)],
    )


def _refused(request: r.RequestExecution, execution_id: str) -> Decision:
    refused = r.RequestRefused(
        tenant_id=request.tenant_id,
        execution_id=execution_id,
        request_id=request.request_id,
        refused_event_id=request.event_id,
        reason="duplicate_mismatch",
        detail="this request_id was already used for a request with another body",
    )
    rejected = r.ExecutionRejected(
        **refused.model_dump(include={"tenant_id", "execution_id", "request_id", "reason", "detail"}),
        **request.model_dump(include=_OF_WHAT),
    )
    return Decision(outputs=[Output(topics.EXECUTIONS_EVENTS, refused), *run_ended(rejected)])


def _not_cancelled(cancel: r.CancelExecution, reason: str, detail: str) -> Decision:
    refused = r.CancelRefused(
        tenant_id=cancel.tenant_id,
        execution_id=cancel.execution_id,
        refused_event_id=cancel.event_id,
        reason=reason,
        detail=detail,
    )
    return Decision(outputs=[Output(topics.EXECUTIONS_EVENTS, refused)])
