"""What an execution may still cost: reserved at admission, drawn from by its calls, released at its end. Pure.

One reservation serves all attempts and calls of an execution. Its ceiling is more than one call can use: every
byte of the input is at most one token, and the output is bounded by `max_tokens`; a run of several calls asks for
more by `reserve_tokens`. In nano-USD it is that at the dearest kind of input and of output, at the price in force
at admission.

A call that was started and never reported keeps its cap reserved after the end, until its usage is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from msgspec.structs import asdict, replace

from penstock_schemas import records as r
from penstock_schemas import topics
from penstock_services.pricing import Price
from penstock_services.pricing.price import UNIT_TOKENS, Tier
from penstock_streams.accounts import model as m
from penstock_streams.accounts.books import Books
from penstock_streams.accounts.budget import ZERO, Amount
from penstock_streams.accounts.closing import accounted_in
from penstock_streams.accounts.origin import origin_of
from penstock_streams.accounts.validation import Problem
from penstock_streams.kit import Decision, Output, Rows
from penstock_streams.work import Work

OVERHEAD_TOKENS = 1_000
"""Input that is not the caller's: system prompt and message framing."""
DEFAULT_OUTPUT_TOKENS = 8_192
"""Reserved for the output of a request without `max_tokens`."""
MOST_OPEN_CALLS = 1_000
"""Of one execution; a run that starts more without reporting any is not making calls."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a run wants to use, in tokens of input and of output."""

    input_tokens: int
    output_tokens: int

    def ceiling(self, price: Price | None) -> Amount:
        """The most it can cost; 0 nano-USD where there is no price."""
        tokens = self.input_tokens + self.output_tokens
        if price is None:
            return Amount(tokens, 0)
        dearest: list[Price | Tier] = [price, *price.tiers]
        input_rate = max(
            max(at.input_nanousd_per_mtok, at.cache_read_nanousd_per_mtok, at.cache_write_nanousd_per_mtok)
            for at in dearest
        )
        output_rate = max(at.output_nanousd_per_mtok for at in dearest)
        exact = self.input_tokens * input_rate + self.output_tokens * output_rate
        return Amount(tokens, -(-exact // UNIT_TOKENS))


def wanted_by(request: r.RequestExecution) -> Wanted:
    """From what the request says of itself."""
    size = request.input_ref.size if request.input_ref else len((request.input or "").encode())
    size += sum(
        said.content_ref.size if said.content_ref else len((said.content or "").encode())
        for said in request.history
    )
    output = request.max_tokens or DEFAULT_OUTPUT_TOKENS
    if request.reserve_tokens is None:
        return Wanted(size + OVERHEAD_TOKENS, output)
    return Wanted(max(request.reserve_tokens - output, 0), min(output, request.reserve_tokens))


def problem_with_budget(
    books: Books, keys: tuple[str, ...], wanted: Amount, model: str | None, *, priced: bool
) -> Problem | None:
    """Why `wanted` cannot be reserved in the budgets `keys`, or None."""
    for key in keys:
        budget, user = books.budget(key), m.user_of_budget_key(key)
        whose = "the tenant" if user is None else f"user {user[:80]!r}"
        if not priced and budget.limits.hard and budget.limits.nanousd is not None:
            named = f"model {model[:80]!r} has no price" if model else "the request names no model"
            return Problem("model_not_priced", f"{named}, and {whose} has a budget in dollars")
        if unit := budget.lacks(wanted):
            needs, left = getattr(wanted, unit), budget.left(unit)
            return Problem(
                "budget_exceeded", f"it may need {needs} {unit}, and {whose} has {left} left this month"
            )
    return None


def reserve(books: Books, keys: tuple[str, ...], work: Work, ceiling: Amount, decision: Decision) -> Work:
    """Reserve `ceiling` for an execution; returns the work with what binds its worker."""
    books.reserve(keys, ceiling)
    binding, dollars_bind = binding_of(books, keys)
    decision.puts[m.reservation_key(work.execution_id)] = m.Reservation(
        work.tenant_id, work.user_id, work.agent_type, keys, ceiling, binding, dollars_bind=dollars_bind
    )
    return replace(work, reserved_tokens=ceiling.tokens if binding else None)


def binding_of(books: Books, keys: tuple[str, ...]) -> tuple[bool, bool]:
    """Whether some budget of `keys` binds whoever reserves in it, and whether one does in dollars."""
    hard = [limits for key in keys if (limits := books.budget(key).limits).binding]
    return bool(hard), any(limits.nanousd is not None for limits in hard)


def start_call(rows: Rows, call: r.StartCall) -> Decision:
    """Remember a call that is about to be made. One without a reservation was made by a run that has ended."""
    key = m.reservation_key(call.execution_id)
    reservation = _reservation(rows, call.tenant_id, call.execution_id)
    if reservation is None:
        return Decision()
    known = any(open_.usage_id == call.usage_id for open_ in reservation.calls)
    counted = rows.get(m.counted_key(call.tenant_id, call.usage_id), m.Counted)
    if known or counted or len(reservation.calls) >= MOST_OPEN_CALLS:
        return Decision()
    opened = m.OpenCall(call.usage_id, call.epoch, call.call_seq, call.model, max(call.cap_tokens, 0))
    return Decision(puts={key: replace(reservation, calls=(*reservation.calls, opened))})


def book_charge(rows: Rows, books: Books, line: r.UsageCharged | r.ChargeAdjusted, decision: Decision) -> None:
    """Count one ledger line as spent, out of what was reserved for it."""
    cost = amount_of(line)
    books.charge(line.user_id, cost, line.period)
    key = m.reservation_key(line.execution_id or "")
    reservation = _reservation(rows, line.tenant_id, line.execution_id)
    if reservation is not None:
        drawn = reservation.draw(line.usage_id, line.epoch or 0, line.period, cost)
        books.reserve(reservation.budgets, drawn.left - reservation.left)
        if drawn.overdrawn and not reservation.stopped:
            drawn = replace(drawn, stopped=True)
            decision.outputs.append(_stop(line, drawn))
        decision.puts[key] = drawn
    release_unresolved(rows, books, line.tenant_id, line.usage_id, decision)


def book_quarantined(rows: Rows, books: Books, line: r.UsageQuarantined, decision: Decision) -> None:
    """The call was reported and costs nothing yet: it is no longer open."""
    key = m.reservation_key(line.execution_id or "")
    reservation = _reservation(rows, line.tenant_id, line.execution_id)
    if reservation is not None:
        decision.puts[key] = reservation.draw(line.usage_id, line.epoch or 0, line.period, ZERO)
    release_unresolved(rows, books, line.tenant_id, line.usage_id, decision)


def release_unresolved(rows: Rows, books: Books, tenant_id: str, usage_id: str, decision: Decision) -> None:
    """Its report came after all: what was kept for an unresolved call is free."""
    key = m.unresolved_key(tenant_id, usage_id)
    if unresolved := rows.get(key, m.Unresolved):
        books.reserve(unresolved.budgets, ZERO - unresolved.reserved)
        decision.deletes.append(key)


def close_reservation(
    rows: Rows, books: Books, tenant_id: str, execution_id: str, accepted_epoch: int | None, decision: Decision
) -> None:
    """An execution ended: release what is left, a stage's to its pipeline, keep what unreported calls may cost,
    tell what was wasted."""
    key = m.reservation_key(execution_id)
    reservation = _reservation(rows, tenant_id, execution_id)
    if reservation is None:
        return
    decision.deletes.append(key)
    about: dict[str, Any] = {
        "tenant_id": tenant_id,
        "execution_id": execution_id,
        "user_id": reservation.user_id,
        "agent_type": reservation.agent_type,
        **origin_of(rows, tenant_id, execution_id),
    }
    left = reservation.left
    for call in reservation.calls:
        kept = _kept_for(call, left)
        left = left - kept
        decision.puts[m.unresolved_key(tenant_id, call.usage_id)] = m.Unresolved(reservation.budgets, kept)
        unresolved = r.UsageUnresolved(
            **about, **asdict(call), reserved_tokens=kept.tokens, reserved_nanousd=kept.nanousd
        )
        decision.outputs.append(Output(topics.ACCOUNTS_EVENTS, unresolved))
    pool = rows.get(reservation.pool, m.Pool) if reservation.pool else None
    if reservation.pool and pool and not pool.closed:
        decision.puts[reservation.pool] = replace(pool, left=pool.left + left)
    else:
        books.reserve(reservation.budgets, ZERO - left)
    for spent in reservation.spent:
        if spent.epoch != accepted_epoch:
            wasted = r.SpendWasted(
                **about,
                period=accounted_in(rows, spent.period).period,
                wasted_tokens=spent.amount.tokens,
                wasted_nanousd=spent.amount.nanousd,
            )
            decision.outputs.append(Output(topics.ACCOUNTS_EVENTS, wasted))


def came_too_late(rows: Rows, line: r.UsageCharged | r.ChargeAdjusted) -> bool:
    """Whether its execution has ended, with the result of another attempt or with none."""
    answer = rows.get(m.answer_key(line.execution_id), m.Answer) if line.execution_id else None
    return answer is not None and answer.state == "settled" and answer.accepted_epoch != line.epoch


def amount_of(line: r.UsageCharged | r.ChargeAdjusted) -> Amount:
    """What a ledger line counts for in budgets: tokens of all kinds (reasoning is inside output), and its cost."""
    tokens = line.input_tokens + line.cache_read_tokens + line.cache_write_tokens + line.output_tokens
    return Amount(tokens, line.cost_nanousd)


def _reservation(rows: Rows, tenant_id: str, execution_id: str | None) -> m.Reservation | None:
    """What an execution that has not ended holds; None also for another tenant's, and for usage from outside."""
    found = rows.get(m.reservation_key(execution_id), m.Reservation) if execution_id else None
    return found if found is not None and found.tenant_id == tenant_id else None


def _kept_for(call: m.OpenCall, left: Amount) -> Amount:
    """What an unreported call may have cost at most: its cap, and its share of the dollars, rounded up."""
    tokens = min(call.cap_tokens, left.tokens)
    return Amount(tokens, -(-left.nanousd * tokens // left.tokens) if left.tokens else left.nanousd)


def _stop(line: r.UsageCharged | r.ChargeAdjusted, drawn: m.Reservation) -> Output:
    used, ceiling = drawn.used, drawn.ceiling
    stop = r.StopExecution(
        tenant_id=line.tenant_id,
        execution_id=line.execution_id or "",
        reason=f"budget: used {used.tokens} tokens and {used.nanousd} nano-USD of "
        f"{ceiling.tokens} and {ceiling.nanousd} reserved",
        requested_by=line.usage_id,
    )
    return Output(topics.EXECUTIONS_COMMANDS, stop)
