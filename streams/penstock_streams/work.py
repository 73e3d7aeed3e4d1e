"""What an agent is asked to do, as it lies in tables between two records that carry it."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from penstock_schemas.records import (
    ArtifactsRef,
    ContentRef,
    HandedArtifacts,
    HistoryMessage,
    PayloadRef,
    PreviousOutput,
    PreviousOutputsRef,
    RequestExecution,
    StageOutputRef,
    StartExecution,
)
from penstock_schemas.traces import TraceContext

RefKind = TypeVar("RefKind", bound=PayloadRef)


class Ref(msgspec.Struct, frozen=True, array_like=True):
    """A PayloadRef at rest."""

    sha256: str
    size: int
    uri: str

    @classmethod
    def of(cls, ref: PayloadRef) -> Ref:
        return cls(ref.sha256, ref.size, ref.uri)

    def payload(self) -> PayloadRef:
        """As it travels."""
        return self.sent_as(PayloadRef)

    def sent_as(self, kind: type[RefKind]) -> RefKind:
        """As it travels in a field of that kind."""
        return kind(sha256=self.sha256, size=self.size, uri=self.uri)


class Said(msgspec.Struct, frozen=True, array_like=True):
    """A HistoryMessage at rest."""

    turn_number: int
    role: str
    said_at: int
    content: str | None
    content_ref: Ref | None

    @classmethod
    def of(cls, message: HistoryMessage) -> Said:
        ref = message.content_ref
        at_rest = Ref(ref.sha256, ref.size, ref.uri) if ref else None
        return cls(message.turn_number, message.role, message.said_at, message.content, at_rest)

    def message(self) -> HistoryMessage:
        """As it travels."""
        ref = self.content_ref
        return HistoryMessage(
            turn_number=self.turn_number,
            role=self.role,  # type: ignore[arg-type]
            said_at=self.said_at,
            content=self.content,
            content_ref=ref.sent_as(ContentRef) if ref else None,
        )


class Earlier(msgspec.Struct, frozen=True, array_like=True):
    """A PreviousOutput at rest."""

    stage: str
    output: str | None
    output_ref: Ref | None

    @classmethod
    def of(cls, previous: PreviousOutput) -> Earlier:
        return cls(previous.stage, previous.output, Ref.of(previous.output_ref) if previous.output_ref else None)

    def previous(self) -> PreviousOutput:
        """As it travels."""
        ref = self.output_ref
        return PreviousOutput(
            stage=self.stage,
            output=self.output,
            output_ref=ref.sent_as(StageOutputRef) if ref else None,
        )


class Handed(msgspec.Struct, frozen=True, array_like=True):
    """A HandedArtifacts at rest."""

    folder: str
    ref: Ref

    @classmethod
    def of(cls, handed: HandedArtifacts) -> Handed:
        return cls(handed.folder, Ref.of(handed.ref))

    def handed(self) -> HandedArtifacts:
        """As it travels."""
        return HandedArtifacts(folder=self.folder, ref=self.ref.sent_as(ArtifactsRef))


class Work(msgspec.Struct, frozen=True):
    """The request, minus what only admission needs; immutable for the life of the execution."""

    tenant_id: str
    execution_id: str
    request_id: str
    user_id: str | None
    agent_type: str
    model: str | None
    input: str | None
    input_ref: Ref | None
    max_tokens: int | None
    timeout_s: int
    max_attempts: int
    queue: str
    metadata: dict[str, str]
    reserved_tokens: int | None = None
    """What all calls of all attempts may use; None is without limit."""
    conversation_id: str | None = None
    turn_number: int | None = None
    history: tuple[Said, ...] = ()
    pipeline_id: str | None = None
    stage_index: int | None = None
    previous_outputs: tuple[Earlier, ...] = ()
    previous_outputs_ref: Ref | None = None
    artifact_patterns: tuple[str, ...] = ()
    handed_artifacts: tuple[Handed, ...] = ()
    tier: str = "free"
    """The tenant's at admission."""
    trace: TraceContext | None = None
    """The trace of the request; what a timer or a worker without tracing causes still belongs to it."""

    @classmethod
    def of(cls, record: StartExecution, trace: TraceContext | None) -> Work:
        return cls(**_common(record), timeout_s=record.timeout_s, max_attempts=record.max_attempts, trace=trace)

    @classmethod
    def requested(
        cls,
        record: RequestExecution,
        execution_id: str,
        *,
        timeout_s: int,
        max_attempts: int,
        trace: TraceContext | None,
    ) -> Work:
        fields = _common(record) | {"execution_id": execution_id}
        return cls(**fields, timeout_s=timeout_s, max_attempts=max_attempts, trace=trace)

    def fields(self) -> dict[str, Any]:
        """Field values for any record that carries the work; its trace travels in headers."""
        values = msgspec.structs.asdict(self)
        del values["trace"]
        if self.input_ref is not None:
            ref = self.input_ref
            values["input_ref"] = ref.payload()
        values["history"] = [said.message() for said in self.history]
        values["previous_outputs"] = [earlier.previous() for earlier in self.previous_outputs]
        values["artifact_patterns"] = list(self.artifact_patterns)
        values["handed_artifacts"] = [handed.handed() for handed in self.handed_artifacts]
        if self.previous_outputs_ref is not None:
            at = self.previous_outputs_ref
            values["previous_outputs_ref"] = at.sent_as(PreviousOutputsRef)
        return values

    def identity(self) -> dict[str, Any]:
        """Field values shared by every lifecycle event."""
        return {
            "tenant_id": self.tenant_id,
            "execution_id": self.execution_id,
            "request_id": self.request_id,
            "user_id": self.user_id,
            "agent_type": self.agent_type,
            "conversation_id": self.conversation_id,
            "turn_number": self.turn_number,
            "pipeline_id": self.pipeline_id,
            "stage_index": self.stage_index,
        }


def _common(record: RequestExecution | StartExecution) -> dict[str, Any]:
    ref = record.input_ref
    return {
        "tenant_id": record.tenant_id,
        "execution_id": getattr(record, "execution_id", ""),
        "request_id": record.request_id,
        "user_id": record.user_id,
        "agent_type": record.agent_type,
        "model": record.model,
        "input": record.input,
        "input_ref": Ref(ref.sha256, ref.size, ref.uri) if ref else None,
        "max_tokens": record.max_tokens,
        "queue": record.queue,
        "metadata": record.metadata,
        "reserved_tokens": getattr(record, "reserved_tokens", None),
        "conversation_id": record.conversation_id,
        "turn_number": record.turn_number,
        "history": tuple(map(Said.of, record.history)),
        "pipeline_id": record.pipeline_id,
        "stage_index": record.stage_index,
        "previous_outputs": tuple(map(Earlier.of, record.previous_outputs)),
        "previous_outputs_ref": Ref.of(record.previous_outputs_ref) if record.previous_outputs_ref else None,
        "artifact_patterns": tuple(record.artifact_patterns),
        "handed_artifacts": tuple(map(Handed.of, record.handed_artifacts)),
        "tier": getattr(record, "tier", "free"),
    }
