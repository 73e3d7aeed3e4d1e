"""What executions answers: to workers about their leases, to everyone about attempts that do not count. Pure."""

from __future__ import annotations

from penstock_schemas import records as r
from penstock_schemas import topics
from penstock_streams.executions import leases
from penstock_streams.executions import model as m
from penstock_streams.kit import Output


def denied(claim: r.ClaimLease, reason: str) -> Output:
    denied = r.LeaseDenied(
        tenant_id=claim.tenant_id,
        execution_id=claim.execution_id,
        epoch=claim.epoch,
        worker_id=claim.worker_id,
        claim_id=claim.claim_id,
        reason=reason,
    )
    return Output(topics.EXECUTIONS_LEASES, denied)


def revoked(tenant_id: str, worker_id: str, pair: leases.Pair, reason: str) -> Output:
    revoked = r.LeaseRevoked(
        tenant_id=tenant_id, execution_id=pair[0], epoch=pair[1], worker_id=worker_id, reason=reason
    )
    return Output(topics.EXECUTIONS_LEASES, revoked)


def lost(execution: m.Execution, execution_id: str, reason: str) -> Output:
    lost = r.AttemptLost(
        tenant_id=execution.tenant_id,
        execution_id=execution_id,
        epoch=execution.epoch,
        worker_id=execution.worker_id,
        reason=reason,
    )
    return Output(topics.EXECUTIONS_EVENTS, lost)


def stale(finish: r.FinishAttempt, execution: m.Execution | None) -> Output:
    stale = r.StaleAttemptReported(
        tenant_id=finish.tenant_id,
        execution_id=finish.execution_id,
        epoch=finish.epoch,
        worker_id=finish.worker_id,
        current_epoch=execution.epoch if execution else 0,
        status=finish.status,
    )
    return Output(topics.EXECUTIONS_EVENTS, stale)


def not_cancelled(command: r.StopExecution) -> Output:
    refused = r.CancelRefused(
        tenant_id=command.tenant_id,
        execution_id=command.execution_id,
        refused_event_id=command.requested_by,
        reason="finished",
        detail="it ended before the cancellation came",
    )
    return Output(topics.EXECUTIONS_EVENTS, refused)
