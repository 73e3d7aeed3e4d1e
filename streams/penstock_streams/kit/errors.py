"""Why a streams process refuses to start or stops. None of these can be cured by skipping a record."""

from __future__ import annotations

from penstock.errors import PenstockError


class StreamsError(PenstockError):
    """Base of the errors below; the process ends with it as its reason."""


class TopicMissing(StreamsError):
    """A topic a stage reads or writes does not exist."""


class TopicUnfit(StreamsError):
    """A topic exists, but its configuration cannot carry what the stages must write."""


class StoreUnusable(StreamsError):
    """The local store cannot be opened; usually another process holds its folder."""


class PartitionCountMismatch(StreamsError):
    """Inputs that are not co-partitioned, or a partition count that changed under data."""


class PositionOutOfRange(StreamsError):
    """The next record to read is no longer (or not yet) in the input: retention ate it, or the topic is new."""


class PositionLost(StreamsError):
    """There are rows without input positions, or committed offsets without a table: reading on could repeat."""


class RowUnreadable(StreamsError):
    """A row in the table does not fit the stage's row types: the code changed without a migration."""


class UnsafeTimeouts(StreamsError):
    """A stopped process could hide heartbeats for longer than the stage's grace allows."""


class UnsupportedFaust(StreamsError):
    """Faust or aiokafka are not the versions, or lack the internals, that the kit was tested with."""


class MembershipLost(StreamsError):
    """Faust's consumer crashed or stopped, so nothing assigns partitions any more."""
