"""Which offset of each dispatch partition may be committed: the first whose claim is not answered. Pure."""

from __future__ import annotations

from aiokafka import TopicPartition


class OffsetTracker:
    """Answers come in any order; commits go in the order of the partition."""

    def __init__(self) -> None:
        self._open: dict[TopicPartition, set[int]] = {}
        self._next: dict[TopicPartition, int] = {}
        self._committed: dict[TopicPartition, int] = {}

    def read(self, partition: TopicPartition, offset: int) -> None:
        """A record was read and waits for its answer."""
        self._open.setdefault(partition, set()).add(offset)
        self._next[partition] = offset + 1

    def answered(self, partition: TopicPartition, offset: int) -> None:
        """Its claim was answered; nothing happens where the partition has moved to another worker."""
        self._open.get(partition, set()).discard(offset)

    def committable(self) -> dict[TopicPartition, int]:
        """Offsets that went forward since they were last committed."""
        lowest = {p: min(self._open[p], default=offset) for p, offset in self._next.items()}
        return {p: offset for p, offset in lowest.items() if offset > self._committed.get(p, -1)}

    def committed(self, offsets: dict[TopicPartition, int]) -> None:
        """These were committed."""
        self._committed |= offsets

    def forget(self, partitions: set[TopicPartition]) -> None:
        """These partitions belong to another worker now."""
        for partition in partitions:
            self._open.pop(partition, None)
            self._next.pop(partition, None)
            self._committed.pop(partition, None)
