"""A tenant's queue: requests above its concurrency, admitted in arrival order as slots come free. Pure.

A waiting request is a row under its arrival number. A cancelled one leaves a hole, which is stepped over when the
head comes to it, so that neither joining nor leaving rewrites anybody else's row.
"""

from __future__ import annotations

from msgspec.structs import replace

from penstock_schemas import records as r
from penstock_schemas import topics
from penstock_streams.accounts import model as m
from penstock_streams.accounts.books import Books
from penstock_streams.accounts.reservations import close_reservation
from penstock_streams.kit import Decision, Output, Row, Rows, Timer
from penstock_streams.run_ends import run_ended
from penstock_streams.work import Work

RELEASED_AT_ONCE = 100
"""Most arrival numbers one event or timer looks at; a timer due at once goes on."""


def admitted(work: Work, tenant: m.Tenant) -> list[Output]:
    """What tells everyone that an execution is admitted, and executions to start it."""
    event = r.ExecutionAdmitted(
        **work.identity(),
        model=work.model,
        queue=work.queue,
        tier=tenant.tier,
        timeout_s=work.timeout_s,
        max_attempts=work.max_attempts,
    )
    start = r.StartExecution(**work.fields() | {"tier": tenant.tier})
    return [
        Output(topics.EXECUTIONS_EVENTS, event, work.trace),
        Output(topics.EXECUTIONS_COMMANDS, start, work.trace),
    ]


def release(rows: Rows, tenant_id: str, tenant: m.Tenant, now: int, decision: Decision) -> None:
    """Admit waiting requests into free slots, in arrival order, and put the tenant's row."""
    puts: dict[str, Row] = {}
    looked_at = 0
    while not tenant.suspended and tenant.waiting and tenant.active < tenant.concurrency:
        if looked_at == RELEASED_AT_ONCE:
            decision.timers.append(Timer(m.release_name(tenant_id), now))
            break
        looked_at += 1
        key = m.waiting_key(tenant_id, tenant.head)
        waiting = rows.get(key, m.Waiting)
        if waiting is None:
            if not tenant.cancelled:
                raise LookupError(f"{key} is missing between head and tail of {tenant_id}")
            tenant = replace(tenant, head=tenant.head + 1, cancelled=tenant.cancelled - 1)
            continue
        answer_key = m.answer_key(waiting.work.execution_id)
        answer = rows.get(answer_key, m.Answer)
        if answer is None:
            raise LookupError(f"{answer_key} is missing for a waiting request")
        puts[answer_key] = replace(answer, state="admitted")
        decision.deletes.append(key)
        decision.outputs += admitted(waiting.work, tenant)
        tenant = replace(tenant, active=tenant.active + 1, head=tenant.head + 1)
    if not tenant.waiting:
        tenant = replace(tenant, head=tenant.tail, cancelled=0)
    decision.puts.update(puts)
    decision.puts[m.tenant_key(tenant_id)] = tenant


def cancel_queued(rows: Rows, tenant_id: str, answer: m.Answer, reason: str, forget_at: int) -> Decision:
    """Take a waiting request out of the queue; it ends as cancelled and leaves a hole."""
    place = m.waiting_key(tenant_id, answer.arrival)
    waiting, tenant = rows.get(place, m.Waiting), rows.get(m.tenant_key(tenant_id), m.Tenant)
    if waiting is None or tenant is None:
        raise LookupError(f"{place} or its tenant is missing for a queued request")
    key = m.answer_key(waiting.work.execution_id)
    cancelled = r.ExecutionCancelled(**waiting.work.identity(), epoch=0, attempts=0, last_seq=0, reason=reason)
    decision, books = Decision(deletes=[place], timers=[Timer(key, forget_at)]), Books(rows, tenant_id)
    decision.puts[key] = replace(answer, state="settled")
    decision.puts[m.tenant_key(tenant_id)] = replace(tenant, cancelled=tenant.cancelled + 1)
    decision.outputs.append(Output(topics.EXECUTIONS_EVENTS, cancelled, waiting.work.trace))
    decision.outputs += run_ended(cancelled, trace=waiting.work.trace)
    close_reservation(rows, books, tenant_id, waiting.work.execution_id, None, decision)
    books.into(decision)
    return decision
