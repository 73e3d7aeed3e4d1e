"""What one run did, on its way to Kafka."""

from __future__ import annotations

import asyncio
from typing import Literal

from pydantic import ValidationError

from penstock.agents import Reportable
from penstock.artifacts import ArtifactStore, needed, this_month
from penstock.carried import CarriedText, carry_text
from penstock.errors import AgentError, UnencodableRecord, Unreachable, UsageError
from penstock.kept import ListedFile, list_bytes
from penstock_consumers.worker.observing import Observed
from penstock_consumers.worker.outbox import Acknowledged, Outbox
from penstock_consumers.worker.wire import Ended, Reported
from penstock_schemas import records as r
from penstock_schemas.ids import derived_id, payload_scope, usage_id
from penstock_schemas.topics import ACCOUNTS_COMMANDS, EXECUTIONS_COMMANDS, EXECUTIONS_PROGRESS

Status = Literal["completed", "failed", "timed_out", "cancelled", "handed_back"]
MAX_ERROR_MESSAGE_BYTES = 2048
MAX_ERROR_TYPE_CHARS = 256
REPORTABLE: dict[str, type[Reportable]] = {
    record_type.__name__: record_type
    for record_type in (
        r.ProgressReported,
        r.StepStarted,
        r.StepFinished,
        r.ToolCalled,
        r.OutputEmitted,
        r.ArtifactKept,
        r.StartCall,
        r.RecordUsage,
    )
}


class ForeignReport(AgentError):
    """A slot reported something that is not the next record of its own run."""


class Reporter:
    """Relays one run.

    Args:
        outbox: where records go.
        dispatch: the attempt that runs.
        worker_id: who runs it.
        store: takes an output above the inline limit; None where none is configured.
        observed: the run's spans and metrics.
    """

    def __init__(
        self,
        outbox: Outbox,
        dispatch: r.ExecutionDispatched,
        worker_id: str,
        store: ArtifactStore | None,
        observed: Observed,
    ) -> None:
        self._outbox = outbox
        self._dispatch = dispatch
        self._worker_id = worker_id
        self._store = store
        self._observed = observed
        self._unacknowledged: set[Acknowledged] = set()
        self._last_seq = 0
        self._last_call_seq = 0
        self._used_tokens = 0
        self._open_calls: set[int] = set()
        self._kept: dict[str, ListedFile] = {}
        self.scope = scope_of(dispatch)
        """Where in the artifact store everything the attempt leaves is kept."""

    async def relay(self, reported: Reported) -> tuple[int, Acknowledged] | None:
        """Send one record of the run; waits where Kafka is behind.

        Returns the number and the acknowledgement of a call that is about to be made, and None for other records.

        Raises:
            ForeignReport: not of this run, or out of order.
        """
        record = self._checked(reported)
        topic = ACCOUNTS_COMMANDS if isinstance(record, r.StartCall | r.RecordUsage) else EXECUTIONS_PROGRESS
        try:
            acknowledged = await self._outbox.send(topic, record, trace=self._observed.trace)
        except UnencodableRecord as exc:  # the agent's API never makes one
            raise ForeignReport(f"a slot reported a {reported.record_type} that cannot be sent: {exc}") from exc
        self._observed.report(record)
        if isinstance(record, r.ArtifactKept):
            self._kept[record.path] = ListedFile(
                path=record.path, size_bytes=record.size_bytes, sha256=record.sha256
            )
        if isinstance(record, r.RecordUsage):
            self._used_tokens += (
                record.input_tokens + record.cache_read_tokens + record.cache_write_tokens + record.output_tokens
            )
        self._unacknowledged.add(acknowledged)
        acknowledged.add_done_callback(self._unacknowledged.discard)
        return (record.call_seq, acknowledged) if isinstance(record, r.StartCall) else None

    async def flush(self) -> None:
        """Wait until everything relayed is acknowledged."""
        await asyncio.gather(*self._unacknowledged)

    async def finish(self, status: Status, ended: Ended) -> None:
        """Report the end of the attempt.

        1. The output goes to the artifact store where it is large, and the list of kept files where there are
           any. A crash after this leaves unused blobs.
        2. All progress and usage are acknowledged. A crash after this loses the result: the lease runs out, the
           attempt is repeated, and what it used is on the bill as usage of a lost attempt.
        3. FinishAttempt is sent and acknowledged. A crash between the two leaves the result reported once.
        """
        try:
            output = await carry_text(ended.output, self._store, self.scope)
            kept = await self._list_of_kept() if status == "completed" else None
        except (UsageError, Unreachable) as exc:
            output, kept = CarriedText(None, None), None
            retryable = isinstance(exc, Unreachable)
            status, ended = "failed", Ended("", type(exc).__name__, f"output not kept: {exc}", retryable)
        completed = status == "completed"
        finish = r.FinishAttempt(
            event_id=derived_id("finish", *self._identity),
            tenant_id=self._dispatch.tenant_id,
            execution_id=self._dispatch.execution_id,
            epoch=self._dispatch.epoch,
            worker_id=self._worker_id,
            status=status,
            output=output.inline if completed else None,
            output_ref=output.ref if completed else None,
            error_type=None if ended.error_type is None else ended.error_type[:MAX_ERROR_TYPE_CHARS],
            error_message=None if ended.error_type is None else cut(ended.error_message),
            retryable=ended.retryable,
            last_seq=self._last_seq,
            used_tokens=self._used_tokens,
            artifacts_ref=kept,
            artifacts=len(self._kept) if kept else 0,
        )
        self._observed.finish(finish)
        await self.flush()
        await (await self._outbox.send(EXECUTIONS_COMMANDS, finish, trace=self._observed.trace))

    async def _list_of_kept(self) -> r.ArtifactsRef | None:
        if not self._kept:
            return None
        ref = await needed(self._store).put(list_bytes(self._kept.values()), self.scope)
        return r.ArtifactsRef(sha256=ref.sha256, size=ref.size, uri=ref.uri)

    @property
    def _identity(self) -> tuple[str, int]:
        return self._dispatch.execution_id, self._dispatch.epoch

    def _checked(self, reported: Reported) -> Reportable:
        record_type = REPORTABLE.get(reported.record_type)
        if record_type is None:
            raise ForeignReport(f"a slot reported a {reported.record_type!r}, which no agent may")
        try:
            record = record_type.model_validate_json(reported.body)
        except ValidationError as exc:
            raise ForeignReport(f"a slot reported an unusable {reported.record_type}: {exc}") from exc
        if record.tenant_id != self._dispatch.tenant_id or (record.execution_id, record.epoch) != self._identity:
            raise ForeignReport(f"a slot reported a {reported.record_type} of another run than its own")
        if isinstance(record, r.StartCall | r.RecordUsage):
            in_order = self._is_next_of_its_call(record)
        else:
            self._last_seq += 1
            in_order = record.seq == self._last_seq
        if not in_order:
            raise ForeignReport(f"a slot reported a {reported.record_type} out of order")
        return record

    def _is_next_of_its_call(self, record: r.StartCall | r.RecordUsage) -> bool:
        """Whether it starts the next call, or reports one that was started or the next without a start."""
        seq = record.call_seq
        if isinstance(record, r.RecordUsage) and seq in self._open_calls:
            self._open_calls.discard(seq)
        elif seq == self._last_call_seq + 1:
            self._last_call_seq = seq
            if isinstance(record, r.StartCall):
                self._open_calls.add(seq)
        else:
            return False
        return record.usage_id == usage_id(self._dispatch.tenant_id, *self._identity, seq)


def scope_of(dispatch: r.ExecutionDispatched) -> str:
    """The conversation whose turn the run is, or else the month in which the attempt began."""
    if dispatch.conversation_id is None or dispatch.user_id is None:
        return this_month()
    return payload_scope(dispatch.tenant_id, dispatch.user_id, dispatch.conversation_id)


def cut(message: str) -> str:
    """`message` as at most `MAX_ERROR_MESSAGE_BYTES` of UTF-8."""
    return message.encode(errors="replace")[:MAX_ERROR_MESSAGE_BYTES].decode(errors="ignore")
