"""Guards of the stages' decide functions."""

from __future__ import annotations

from typing import Any

import msgspec

from penstock_schemas import records as r
from penstock_streams.accounts import admission
from penstock_streams.accounts import decide as accounts
from penstock_streams.accounts import model as a
from penstock_streams.accounts.decide import Accounts
from penstock_streams.accounts.policy import Policy
from penstock_streams.executions import decide as executions
from penstock_streams.executions import leases, timers, transitions
from penstock_streams.executions import model as m
from penstock_streams.executions.decide import Executions
from penstock_streams.kit import Decision, Event, Rows
from tests.simulation.mutations.base import HidingRows, Mutation, hiding

replace = msgspec.structs.replace
_finish, _refusal = Executions._finish, executions._refusal
_settle, _tenant_of, _end = Accounts._settle, accounts.tenant_of, Executions._end
_cancel, _cancel_queued = Accounts._cancel, accounts.cancel_queued
_answer_request = accounts.answer_request


def _finish_any_epoch(self: Executions, rows: Rows, finish: r.FinishAttempt, now: int) -> Decision:
    execution = rows.get(m.execution_key(finish.execution_id), m.Execution)
    if execution and execution.state == "running":
        current = {"epoch": execution.epoch, "worker_id": execution.worker_id}
        finish = finish.model_copy(update=current)
    return _finish(self, rows, finish, now)


def _grant_anyone(execution: m.Execution | None, claim: r.ClaimLease) -> str | None:
    refusal = _refusal(execution, claim)
    return None if refusal == "held" else refusal


def _same_epoch(execution: m.Execution) -> m.Execution:
    return replace(execution, state="dispatched", dispatch_seq=1, worker_id="", claim_id="", deadline_at=0)


def _renew_nothing(rows: Rows, worker_id: str, listed: Any, until: int, decision: Decision) -> leases.Renewed:
    held = {(lease.execution_id, lease.epoch) for lease in leases.leases_of(rows, worker_id).held}
    return leases.Renewed(sorted(set(listed) - held), [])


def _end_without_settling(self: Executions, *rest: Any) -> None:
    _end(self, *rest)
    decision = rest[-1]
    decision.outputs = [o for o in decision.outputs if not isinstance(o.record, r.SettleExecution)]


def _settle_again(self: Accounts, rows: Rows, settled: r.SettleExecution, *rest: Any) -> Decision:
    class Unsettled(HidingRows):
        def get(self, key: str, row_type: type[Any]) -> Any:
            row = self._rows.get(key, row_type)
            return replace(row, state="admitted") if isinstance(row, a.Answer) and row.state == "settled" else row

    return _settle(self, Unsettled(rows, a.Answer), settled, *rest)


def _cancel_for_anyone(self: Accounts, rows: Rows, cancel: r.CancelExecution, event: Event) -> Decision:
    answer = rows.get(a.answer_key(cancel.execution_id), a.Answer)
    owner = {"tenant_id": answer.tenant_id if answer else cancel.tenant_id}
    return _cancel(self, rows, cancel.model_copy(update=owner), event)


def _cancel_without_hole(rows: Rows, tenant_id: str, *rest: Any) -> Decision:
    decision = _cancel_queued(rows, tenant_id, *rest)
    del decision.puts[a.tenant_key(tenant_id)]
    return decision


def _answer_again(rows: Rows, *rest: Any) -> Decision:
    return _answer_request(HidingRows(rows, a.Answer), *rest)


def _one_more(rows: Rows, policy: Policy, tenant_id: str) -> a.Tenant | None:
    tenant = _tenant_of(rows, policy, tenant_id)
    return tenant and replace(tenant, concurrency=tenant.concurrency + 1)


STAGES = {
    "finish-of-any-epoch": Mutation(
        "a finish counts whatever attempt it is of", ((Executions, "_finish", _finish_any_epoch),)
    ),
    "claims-granted-to-anyone": Mutation(
        "a held lease is granted again", ((executions, "_refusal", _grant_anyone),)
    ),
    "same-epoch": Mutation(
        "the next attempt has the epoch of the last",
        (
            (executions, "next_attempt", _same_epoch),
            (timers, "next_attempt", _same_epoch),
            (transitions, "next_attempt", _same_epoch),
        ),
    ),
    "start-twice": Mutation(
        "a repeated StartExecution starts again",
        ((Executions, "_start", hiding(Executions._start, m.Execution)),),
    ),
    "no-renewal": Mutation("heartbeats renew nothing, though confirmed", ((leases, "renew", _renew_nothing),)),
    "no-expiry": Mutation("leases do not expire", ((Executions, "_expire", lambda self, *rest: Decision()),)),
    "no-settlement": Mutation("an end frees no slot", ((Executions, "_end", _end_without_settling),)),
    "settled-twice": Mutation("a repeated settlement frees another slot", ((Accounts, "_settle", _settle_again),)),
    "request-dedupe-off": Mutation(
        "a repeated request is answered again", ((accounts, "answer_request", _answer_again),)
    ),
    "usage-dedupe-off": Mutation(
        "a repeated report is charged again", ((Accounts, "_usage", hiding(Accounts._usage, a.Counted)),)
    ),
    "cancelled-by-a-stranger": Mutation(
        "another tenant may cancel", ((Accounts, "_cancel", _cancel_for_anyone),), shape={"cancelled": 1.0}
    ),
    "no-hole-in-the-queue": Mutation(
        "a cancelled request still counts as waiting",
        ((accounts, "cancel_queued", _cancel_without_hole),),
        shape={"cancelled": 1.0, "limits": {"tenant0": 1}},
    ),
    "reservations-leak": Mutation(
        "an end releases no reservation", ((accounts, "close_reservation", lambda *rest: None),)
    ),
    "one-more-at-once": Mutation(
        "a tenant gets one slot too many",
        ((accounts, "tenant_of", _one_more), (admission, "tenant_of", _one_more)),
    ),
}
