"""What every record has in common, and the field types they share."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

SYSTEM_TENANT = "_penstock"
"""`tenant_id` of records about the platform itself. Tenants' own ids cannot begin with an underscore."""

TENANT_ID_PATTERN = r"^(_penstock|[A-Za-z0-9][A-Za-z0-9._-]{0,127})$"

Micros = Annotated[int, Field(ge=0, lt=1 << 62)]
"""Microseconds since the epoch, UTC (Avro timestamp-micros without the detour through datetime)."""
TenantId = Annotated[str, Field(pattern=TENANT_ID_PATTERN)]
"""Also a folder name and a label, hence the narrow alphabet and the 128 characters."""
Id = Annotated[str, Field(min_length=1, max_length=256)]
"""An id chosen outside: any text of 1 to 256 characters."""
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")]
"""The name of an agent or a queue; part of a topic's name."""
Int32 = Annotated[int, Field(ge=-(1 << 31), lt=1 << 31)]
Int64 = Annotated[int, Field(ge=-(1 << 63), lt=1 << 63)]
Epoch = Annotated[int, Field(ge=1, lt=1 << 31)]
"""Attempt number, from 1; the fencing token."""


class PayloadRef(BaseModel):
    """A payload above `topics.MAX_INLINE_BYTES`, kept in the artifact store under its own hash."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    size: Annotated[int, Field(ge=0, lt=1 << 63)]
    """Bytes."""
    uri: str


class ContentRef(PayloadRef):
    """What one side of a conversation's turn says, kept in the artifact store in its conversation's folder."""


class HistoryMessage(BaseModel):
    """One side of an earlier turn, as an agent sees it."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)

    turn_number: Int64
    role: Literal["user", "assistant"]
    said_at: Micros
    content: str | None = None
    content_ref: ContentRef | None = None


class StageOutputRef(PayloadRef):
    """What a stage of a pipeline answered, kept in the artifact store."""


class PreviousOutputsRef(PayloadRef):
    """A JSON array of PreviousOutput, kept in the artifact store."""


class PreviousOutput(BaseModel):
    """What an earlier stage of a pipeline answered, as an agent of a later one sees it."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)

    stage: str
    """Name of the stage."""
    output: str | None = None
    output_ref: StageOutputRef | None = None


class ArtifactsRef(PayloadRef):
    """A JSON array of the files an attempt kept (`penstock.kept.KeptFile`), kept in the artifact store itself."""


class HandedArtifacts(BaseModel):
    """Files of an earlier stage, as they are put into the workspace of a later one."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)

    folder: str
    """Below which folder of the workspace; empty for the workspace itself."""
    ref: ArtifactsRef


class Record(BaseModel):
    """Base of every record on Kafka.

    `event_id` and `occurred_at` may be left empty by a pure function; the process that writes the record
    stamps them (`Codec.encode`). Unknown fields are ignored: a writer with a newer schema is not poison.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)

    NAMESPACE: ClassVar[str]

    event_id: str = ""
    tenant_id: TenantId
    occurred_at: Micros = 0

    @classmethod
    def full_name(cls) -> str:
        """The Avro full name, such as `penstock.accounts.v1.RequestExecution`."""
        return f"{cls.NAMESPACE}.{cls.__name__}"
