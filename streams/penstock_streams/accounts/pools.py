"""What a pipeline may cost: reserved once, before anything starts; its stages draw from it. Pure.

A pool counts in the budgets like any reservation. A stage's own reservation is taken out of it and what the stage
leaves goes back into it, so however many stages run at once, the budgets see the same sum. The end of the pipeline
frees what is left.
"""

from __future__ import annotations

from functools import reduce

from msgspec.structs import replace

from penstock_schemas import ids, topics
from penstock_schemas import records as r
from penstock_streams.accounts import model as m
from penstock_streams.accounts.books import Books
from penstock_streams.accounts.budget import ZERO, Amount
from penstock_streams.accounts.policy import ANSWERS_KEPT_US, Policy
from penstock_streams.accounts.prices import price_at
from penstock_streams.accounts.reservations import Wanted, binding_of, problem_with_budget
from penstock_streams.accounts.validation import MAX_RESERVED_TOKENS, Problem
from penstock_streams.kit import Decision, Event, Output, Rows, Timer
from penstock_streams.timing import period_of
from penstock_streams.work import Work

NO_POOL = Problem("no_reservation", "its pipeline has no reservation, or has ended")


def reserve_pipeline(
    rows: Rows, policy: Policy, command: r.ReservePipeline, problem: Problem | None, event: Event
) -> Decision:
    """Reserve what all stages may use together, or say why not; `problem` is with the tenant."""
    key = m.pool_key(ids.pipeline_reservation_id(command.pipeline_id, command.epoch))
    if rows.get(key, m.Pool):
        return Decision()
    books = Books(rows, command.tenant_id)
    budgets = books.roll(command.user_id, period_of(event.timestamp))
    ceilings, unpriced = [], []
    for need in command.needs:
        price = price_at(rows, policy, need.model, event.timestamp) if need.model else None
        together = Wanted(max(need.input_tokens, 0), max(need.output_tokens, 0)).ceiling(price)
        ceilings.append(together + Amount(0, need.stages if price else 0))  # each stage's own is rounded up
        if price is None:
            unpriced.append(need.model)
    total = reduce(Amount.__add__, ceilings, ZERO)
    if problem is None and total.tokens > MAX_RESERVED_TOKENS:
        detail = f"its stages may need {total.tokens} tokens, above {MAX_RESERVED_TOKENS}; give them max_tokens"
        problem = Problem("invalid_request", detail)
    if problem is None:
        model = unpriced[0] if unpriced else None
        problem = problem_with_budget(books, budgets, total, model, priced=not unpriced)
    about = {"tenant_id": command.tenant_id, "pipeline_id": command.pipeline_id, "epoch": command.epoch}
    if problem is not None:
        refused = r.PipelineReservationRefused.model_validate(
            {**about, "reason": problem.reason, "detail": problem.detail}
        )
        return Decision(
            puts={key: m.Pool(command.tenant_id, (), ZERO, binding=False, closed=True)},
            outputs=[Output(topics.PIPELINES_COMMANDS, refused)],
            timers=[Timer(key, event.timestamp + ANSWERS_KEPT_US)],
        )
    decision = Decision(outputs=[Output(topics.PIPELINES_COMMANDS, r.PipelineReserved.model_validate(about))])
    books.reserve(budgets, total)
    binding, dollars_bind = binding_of(books, budgets)
    decision.puts[key] = m.Pool(command.tenant_id, budgets, total, binding, dollars_bind=dollars_bind)
    books.into(decision)
    return decision


def release_pipeline(rows: Rows, command: r.ReleasePipeline, event: Event) -> Decision:
    """Free what no stage has used."""
    key = m.pool_key(ids.pipeline_reservation_id(command.pipeline_id, command.epoch))
    pool = rows.get(key, m.Pool)
    if pool is None or pool.closed or pool.tenant_id != command.tenant_id:
        return Decision()
    closed = replace(pool, left=ZERO, closed=True)
    decision = Decision(puts={key: closed}, timers=[Timer(key, event.timestamp + ANSWERS_KEPT_US)])
    books = Books(rows, command.tenant_id)
    books.reserve(pool.budgets, ZERO - pool.left)
    books.into(decision)
    return decision


def pool_of(rows: Rows, request: r.RequestExecution) -> m.Pool | None:
    """What a stage's request draws from; None also for another tenant's, and after its end."""
    pool = rows.get(m.pool_key(request.parent_reservation or ""), m.Pool)
    return pool if pool is not None and not pool.closed and pool.tenant_id == request.tenant_id else None


def problem_with_pool(
    books: Books, pool: m.Pool | None, wanted: Amount, model: str | None, *, priced: bool
) -> Problem | None:
    """Why `wanted` cannot be drawn, or None. Only a price that rose since asks for more than was reserved; what is
    missing then must be left in the budgets."""
    if pool is None:
        return NO_POOL
    excess = _excess(pool, wanted)
    return None if excess == ZERO else problem_with_budget(books, pool.budgets, excess, model, priced=priced)


def draw(
    books: Books, request: r.RequestExecution, pool: m.Pool, work: Work, ceiling: Amount, decision: Decision
) -> Work:
    """Reserve `ceiling` for a stage out of its pipeline's pool; as `reservations.reserve`."""
    key = m.pool_key(request.parent_reservation or "")
    books.reserve(pool.budgets, _excess(pool, ceiling))
    decision.puts[key] = replace(pool, left=(pool.left - ceiling).at_least_zero())
    decision.puts[m.reservation_key(work.execution_id)] = m.Reservation(
        work.tenant_id,
        work.user_id,
        work.agent_type,
        pool.budgets,
        ceiling,
        pool.binding,
        pool=key,
        dollars_bind=pool.dollars_bind,
    )
    return replace(work, reserved_tokens=ceiling.tokens if pool.binding else None)


def _excess(pool: m.Pool, wanted: Amount) -> Amount:
    return (wanted - pool.left).at_least_zero()
