"""The log: topics with partitions, transactions, fencing, and what a read_committed reader sees of them.

As Kafka does it: an open transaction hides everything behind its first record; a commit is decided at once and
becomes visible partition by partition, when its marker lands; markers take an offset; a new producer of the same
transactional id fences the old one and aborts what it left open; so does the broker after a timeout.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from penstock_schemas.codec import Codec
from penstock_schemas.records import Record
from penstock_streams.kit.batch import Headers, Message
from tests.simulation.scheduler import Scheduler, Signal

EPOCH_US = 1_790_000_000_000_000
"""The broker's wall clock when virtual time is 0; a moment in September 2026."""
TRANSACTION_TIMEOUT_US = 10_000_000
ABORT_SCAN_US = 1_000_000

Target = tuple[str, int]


class ProducerFenced(Exception):
    """Another producer of the same transactional id has started, or the broker ended the transaction."""


@dataclass(slots=True, eq=False)
class Transaction:
    """One transaction; `pending` are the partitions whose marker has not landed."""

    owner: str
    state: Literal["open", "committed", "aborted"] = "open"
    entries: list[Entry] = field(default_factory=list)
    pending: list[PartitionLog] = field(default_factory=list)
    offsets: dict[Target, int] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class Entry:
    """One record, or a transaction's marker (no value, no key). Has the fields of an aiokafka record."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Headers
    at: int
    """True time, microseconds."""
    transaction: Transaction | None = None
    is_marker: bool = False


class PartitionLog:
    """One partition."""

    def __init__(self, topic: str, number: int) -> None:
        self.topic, self.number = topic, number
        self.entries: list[Entry] = []
        self.grown = Signal()
        self._open: dict[Transaction, int] = {}

    @property
    def end(self) -> int:
        """The next offset, open transactions included."""
        return len(self.entries)

    @property
    def stable_end(self) -> int:
        """Where the first transaction without a marker begins."""
        return min(self._open.values(), default=self.end)

    def read(self, position: int, at_most: int, *, committed: bool = True) -> tuple[list[Entry], int]:
        """Records from `position`, and the position after them; markers and aborted records are passed over."""
        found: list[Entry] = []
        end = self.stable_end if committed else self.end
        while position < end and len(found) < at_most:
            entry = self.entries[position]
            position += 1
            aborted = committed and entry.transaction is not None and entry.transaction.state != "committed"
            if not entry.is_marker and not aborted:
                found.append(entry)
        return found, position

    def open(self, transaction: Transaction) -> None:
        self._open.setdefault(transaction, self.end)

    def close(self, transaction: Transaction) -> None:
        self._open.pop(transaction, None)


class Log:
    """Every topic, the transaction coordinator and the groups' committed offsets.

    Args:
        partitions: by topic.
        delay: draws how long a marker or an abort takes, in microseconds.
    """

    def __init__(
        self, scheduler: Scheduler, codec: Codec, partitions: Mapping[str, int], delay: Callable[[], int]
    ) -> None:
        self.codec = codec
        self.counts = dict(partitions)
        self.offsets: dict[str, dict[Target, int]] = {}
        self.on_appended: Callable[[Entry], None] = lambda entry: None
        self.on_committed: Callable[[Transaction], None] = lambda transaction: None
        self.settled = Signal()
        """Notified when a transaction's last marker has landed."""
        self._scheduler = scheduler
        self._delay = delay
        self._logs = {
            (topic, number): PartitionLog(topic, number)
            for topic, count in partitions.items()
            for number in range(count)
        }
        self._epochs: dict[str, int] = {}
        self._current: dict[str, Transaction] = {}

    def partition(self, target: Target) -> PartitionLog:
        return self._logs[target]

    def append(self, target: Target, message: Message, transaction: Transaction | None = None) -> Entry:
        """Write one record; outside a transaction it is visible at once, unless one is open before it."""
        log, now = self._logs[target], self._scheduler.now
        stamp = (EPOCH_US + now) // 1000
        entry = Entry(*target, log.end, stamp, message.key, message.value, message.headers, now, transaction)
        if transaction is not None:
            log.open(transaction)
            transaction.entries.append(entry)
        log.entries.append(entry)
        log.grown.notify()
        if transaction is None:
            self.on_appended(entry)
        return entry

    def record(self, entry: Entry) -> Record:
        return self.codec.decode(entry.topic, entry.value)

    # The transaction coordinator

    def busy(self, owner: str) -> bool:
        """Whether markers of the last transaction are still to land: the next may not begin."""
        current = self._current.get(owner)
        return current is not None and current.state != "open"

    def fence(self, owner: str) -> int:
        """A new producer starts: the old one can do nothing any more. Wait while `busy` before and after."""
        self._epochs[owner] = self._epochs.get(owner, 0) + 1
        if current := self._current.get(owner):
            self._end(current, "aborted")
        return self._epochs[owner]

    def begin(self, owner: str, epoch: int) -> Transaction:
        self._check(owner, epoch)
        assert owner not in self._current
        transaction = self._current[owner] = Transaction(owner)
        timeout = TRANSACTION_TIMEOUT_US + self._scheduler.rng.randrange(ABORT_SCAN_US)
        self._scheduler.at(self._scheduler.now + timeout, self._time_out, transaction)
        return transaction

    def write(self, transaction: Transaction, epoch: int, target: Target, messages: Sequence[Message]) -> int:
        """Write into the transaction; returns the offset after it."""
        self._check(transaction.owner, epoch)
        for message in messages:
            self.append(target, message, transaction)
        if (log := self._logs[target]) not in transaction.pending:
            transaction.pending.append(log)
        return log.end

    def commit(self, transaction: Transaction, epoch: int, group: str, offsets: Mapping[Target, int]) -> None:
        self._check(transaction.owner, epoch)
        self.offsets.setdefault(group, {}).update(offsets)
        self._end(transaction, "committed")
        self.on_committed(transaction)

    def is_fenced(self, owner: str, epoch: int) -> bool:
        return epoch != self._epochs.get(owner)

    def _check(self, owner: str, epoch: int) -> None:
        if self.is_fenced(owner, epoch):
            raise ProducerFenced(f"{owner}: producer epoch {epoch}, now {self._epochs[owner]}")

    def _time_out(self, transaction: Transaction) -> None:
        if transaction.state == "open":
            self._scheduler.note("broker: transaction of", transaction.owner, "timed out")
            self._epochs[transaction.owner] += 1
            self._end(transaction, "aborted")

    def _end(self, transaction: Transaction, state: Literal["committed", "aborted"]) -> None:
        if transaction.state != "open":
            return
        transaction.state = state
        for log in list(transaction.pending):
            self._scheduler.at(self._scheduler.now + self._delay(), self._mark, (transaction, log))
        if not transaction.pending:
            self._settle(transaction)

    def _mark(self, what: tuple[Transaction, PartitionLog]) -> None:
        transaction, log = what
        now = self._scheduler.now
        log.close(transaction)
        log.entries.append(
            Entry(log.topic, log.number, log.end, 0, None, None, (), now, transaction, is_marker=True)
        )
        transaction.pending.remove(log)
        log.grown.notify()
        if not transaction.pending:
            self._settle(transaction)

    def _settle(self, transaction: Transaction) -> None:
        del self._current[transaction.owner]
        self.settled.notify()
