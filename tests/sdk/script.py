"""Records of made-up executions, as the stages and a worker would write them."""

from __future__ import annotations

import time
from uuid import uuid4

from penstock_schemas import ids
from penstock_schemas import records as r


class Execution:
    """One execution of a tenant; each method makes a record about it."""

    def __init__(self, tenant: str, request_id: str, agent: str = "echo") -> None:
        self.request_id = request_id
        self.id = ids.execution_id(tenant, request_id)
        self._about = {"tenant_id": tenant, "execution_id": self.id}
        self._named = self._about | {"request_id": request_id, "agent_type": agent}

    def rename(self, execution_id: str) -> None:
        """Use an id that is not derived."""
        self.id = self._about["execution_id"] = self._named["execution_id"] = execution_id

    def admitted(self) -> r.ExecutionAdmitted:
        return r.ExecutionAdmitted(**self._named, tier="free", timeout_s=600, max_attempts=3)

    def rejected(self, reason: str, detail: str = "") -> r.ExecutionRejected:
        return r.ExecutionRejected(**self._named, reason=reason, detail=detail)

    def refused(self, event_id: str) -> r.RequestRefused:
        about = self._about | {"request_id": self._named["request_id"]}
        return r.RequestRefused(
            **about, refused_event_id=event_id, reason="duplicate_mismatch", detail="other body"
        )

    def started(self, epoch: int = 1) -> r.AttemptStarted:
        return r.AttemptStarted(**self._about, epoch=epoch, worker_id="host:1:a", deadline_at=now_us())

    def lost(self, epoch: int = 1) -> r.AttemptLost:
        return r.AttemptLost(**self._about, epoch=epoch, worker_id="host:1:a", reason="lease_expired")

    def progress(self, seq: int, epoch: int = 1, message: str = "on it") -> r.ProgressReported:
        return r.ProgressReported(**self._about, epoch=epoch, seq=seq, message=message, fraction=None)

    def completed(
        self, output: str | None = "done", *, epoch: int = 1, last_seq: int = 0, ref: r.PayloadRef | None = None
    ) -> r.ExecutionCompleted:
        return r.ExecutionCompleted(
            **self._named, epoch=epoch, attempts=epoch, last_seq=last_seq, output=output, output_ref=ref
        )

    def failed(self, error: str = "it broke", last_seq: int = 0) -> r.ExecutionFailed:
        return r.ExecutionFailed(
            **self._named, epoch=1, attempts=1, last_seq=last_seq, error_type="ValueError", error_message=error
        )

    def timed_out(self) -> r.ExecutionTimedOut:
        return r.ExecutionTimedOut(**self._named, epoch=1, attempts=1, last_seq=0, timeout_s=7)

    def cancelled(self, reason: str = "changed my mind") -> r.ExecutionCancelled:
        return r.ExecutionCancelled(**self._named, epoch=1, attempts=1, last_seq=0, reason=reason)


def answers(request: r.Record) -> list[r.Record]:
    """What the platform would answer to a request or a command."""
    match request:
        case r.RequestExecution(tenant_id="suspended"):
            run = Execution(request.tenant_id, request.request_id, request.agent_type)
            return [run.rejected("tenant_suspended", "the operator suspended this tenant")]
        case r.RequestExecution(agent_type="waits"):
            run = Execution(request.tenant_id, request.request_id, request.agent_type)
            return [run.admitted(), run.started()]
        case r.CancelExecution():
            about = {"tenant_id": request.tenant_id, "execution_id": request.execution_id}
            named = about | {"request_id": "any", "agent_type": "waits", "epoch": 1, "attempts": 1, "last_seq": 0}
            if request.tenant_id == "stranger":
                why = {"reason": "unknown_execution", "detail": "this tenant has no such execution"}
                return [r.CancelRefused(**about, refused_event_id=request.event_id, **why)]
            if request.reason == "too late":
                why = {"reason": "finished", "detail": "it has ended already"}
                return [r.CancelRefused(**about, refused_event_id=request.event_id, **why)]
            if request.reason == "just too late":
                return [r.ExecutionCompleted(**named, output="a result after all")]
            return [r.ExecutionCancelled(**named, reason=request.reason)]
        case r.RequestExecution():
            run = Execution(request.tenant_id, request.request_id, request.agent_type)
            end = run.failed() if request.agent_type == "broken" else run.completed(request.input, last_seq=2)
            said = [run.progress(1, message="half way"), run.progress(2, message="nearly there")]
            return [run.admitted(), run.started(), *said, end]
        case r.ConfigureTenant():
            return [
                r.TenantConfigured(
                    tenant_id=request.tenant_id,
                    tier=request.tier,
                    concurrency=request.concurrency or 2,
                    queue_limit=100 if request.queue_limit is None else request.queue_limit,
                    suspended=request.suspended,
                )
            ]
        case r.RecordUsage():
            calls = request.model_dump(exclude={"event_id", "occurred_at"})
            at = {"usage_topic": "penstock.accounts.requests.v1", "usage_partition": 0, "usage_offset": 0}
            if request.model == "unpriced":
                why = {"reason": "unknown_model", "detail": "no price"}
                return [r.UsageQuarantined(**calls, **at, **why, period="2026-11")]
            cost = 1_234_567 * request.output_tokens
            return [r.UsageCharged(**calls, **at, cost_nanousd=cost, price_version="test/1", period="2026-11")]
    return []


def charge_of(tenant: str, execution_id: str, *, cost_nanousd: int) -> r.UsageCharged:
    """A call of an execution, as accounts charges it."""
    return r.UsageCharged(
        tenant_id=tenant,
        usage_id=str(uuid4()),
        execution_id=execution_id,
        epoch=1,
        call_seq=1,
        model="claude-3-haiku",
        input_tokens=10,
        output_tokens=2,
        cost_nanousd=cost_nanousd,
        price_version="test/1",
        period="2026-11",
        usage_topic="penstock.accounts.commands.v1",
        usage_partition=0,
        usage_offset=0,
    )


def stamped(record: r.Record) -> r.Record:
    """`record` with an id and a time, where it has none."""
    return record.model_copy(
        update={"event_id": record.event_id or str(uuid4()), "occurred_at": record.occurred_at or now_us()}
    )


def now_us() -> int:
    return time.time_ns() // 1000
