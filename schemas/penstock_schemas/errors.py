"""The root of Penstock's error tree and the branch that belongs to the contract.

The whole tree is drawn in `penstock.errors`. Every message says what was wrong, with which value, and what
to do about it; every class carries the exit code of the command line (DESIGN section 11).
"""

from __future__ import annotations

from typing import ClassVar


class PenstockError(Exception):
    """Base of every error Penstock raises on purpose."""

    exit_code: ClassVar[int] = 1


class ContractError(PenstockError):
    """A record, schema or topic does not fit the contract in `penstock_schemas`."""


class UndecodableRecord(ContractError):
    """Bytes from Kafka that are not a record of their topic: a poison record, never a reason to stop."""

    code: ClassVar[str] = "undecodable"


class BadFraming(UndecodableRecord):
    """No value, a wrong magic byte, or too short for the five bytes of Confluent framing."""

    code = "bad_framing"


class UnknownSchemaId(UndecodableRecord):
    """The registry was reached and does not know the writer's schema id."""

    code = "unknown_schema_id"


class ForeignSchema(UndecodableRecord):
    """The writer's schema exists but names a record type this topic does not carry."""

    code = "foreign_schema"


class BadPayload(UndecodableRecord):
    """The Avro body does not fit its writer's schema: truncated, trailing bytes, not UTF-8."""

    code = "bad_payload"


class InvalidRecord(UndecodableRecord):
    """Decoded, but a field breaks the contract: missing, out of range, or an id that is not one."""

    code = "invalid_record"


class UnencodableRecord(ContractError):
    """A record of ours that does not fit its schema. Its cause is a bug or a poison input."""

    code: ClassVar[str] = "unencodable"


class RecordTooLarge(UnencodableRecord):
    """An encoded record above `topics.MAX_RECORD_BYTES`; nothing on Kafka is above 1 MiB."""

    code = "record_too_large"


class UnknownTopic(ContractError):
    """A topic that `penstock_schemas.topics` does not declare."""


class IncompatibleSchema(ContractError):
    """A schema change that is not FULL_TRANSITIVE compatible with its own history."""


class Unreachable(PenstockError):
    """A server did not answer; the message says which, at which address, and the setting that names it."""

    exit_code = 4


class RegistryUnreachable(Unreachable):
    """The schema registry did not answer, or answered with a server error."""
