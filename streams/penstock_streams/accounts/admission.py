"""Whether a request is admitted, waits or is rejected, and what it would be answered now. Pure.

Tenant, queue and budget are asked in this order, and the first that has a problem names the reason. An admitted or
queued request has its ceiling reserved for all its attempts; a stage of a pipeline draws from what its pipeline
reserved.
"""

from __future__ import annotations

from msgspec.structs import replace

from penstock_schemas import ids, topics
from penstock_schemas import records as r
from penstock_streams.accounts import model as m
from penstock_streams.accounts.books import Books
from penstock_streams.accounts.configuring import tenant_of
from penstock_streams.accounts.policy import ANSWERS_KEPT_US, Policy
from penstock_streams.accounts.pools import draw, pool_of, problem_with_pool
from penstock_streams.accounts.prices import price_at
from penstock_streams.accounts.queue import admitted
from penstock_streams.accounts.reservations import Wanted, problem_with_budget, reserve, wanted_by
from penstock_streams.accounts.validation import (
    DEFAULT_ATTEMPTS,
    DEFAULT_TIMEOUT_S,
    MAX_RESERVED_TOKENS,
    Problem,
    problem_with,
    request_digest,
)
from penstock_streams.kit import Decision, Event, Output, Rows, Timer
from penstock_streams.run_ends import run_ended
from penstock_streams.timing import month_start_us, period_of
from penstock_streams.work import Work

_OF_WHAT = {"user_id", "agent_type", "conversation_id", "turn_number", "pipeline_id", "stage_index"}
_UNKNOWN_TENANT = Problem("unknown_tenant", "no such tenant is configured; see: penstock tenants set")


def answer_request(rows: Rows, policy: Policy, request: r.RequestExecution, event: Event) -> Decision:
    """Reject, queue or admit; a repeat of a request that was answered changes nothing."""
    execution_id = ids.execution_id(request.tenant_id, request.request_id)
    key, digest = m.answer_key(execution_id), request_digest(request)
    if answer := rows.get(key, m.Answer):
        return Decision() if answer.request_digest == digest else _refused(request, execution_id)

    tenant = tenant_of(rows, policy, request.tenant_id)
    of_pipeline = request.parent_reservation is not None
    problem = problem_with(request, event.timestamp, policy.queues) or problem_with_tenant(tenant)
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
    price = price_at(rows, policy, request.model, event.timestamp) if request.model else None
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


def answer_check(rows: Rows, policy: Policy, check: r.CheckBudget, event: Event) -> Decision:
    """What a request of this size would be answered now; changes nothing."""
    books = Books(rows, check.tenant_id)
    budgets = books.roll(check.user_id, period_of(event.timestamp))
    price = price_at(rows, policy, check.model, event.timestamp) if check.model else None
    tenant = tenant_of(rows, policy, check.tenant_id)
    problem = problem_with_tenant(tenant) or _problem_with_queue(tenant)
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


def problem_with_tenant(tenant: m.Tenant | None) -> Problem | None:
    """Why nothing of this tenant is admitted, whatever it asks for."""
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
