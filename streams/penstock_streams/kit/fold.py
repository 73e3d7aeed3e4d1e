"""The fold of one batch: decide and encode over an overlay, in memory, without an await.

Whatever an event puts, sends or schedules is encoded and measured before anything of it is kept, so an event
that fails leaves no trace but its dead letter. What is left to do with the result is only I/O.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import TypeVar

from msgspec import UNSET

from penstock_schemas.codec import Codec
from penstock_schemas.errors import RecordTooLarge, UndecodableRecord, UnencodableRecord
from penstock_schemas.ids import derived_id
from penstock_schemas.records import DeadLetter, Record
from penstock_schemas.topics import DEAD_LETTERS, Topic
from penstock_schemas.traces import TraceContext, trace_of
from penstock_streams.kit.api import Decision, Event, Row, TimerDue
from penstock_streams.kit.batch import FoldedBatch, Message, TaskFacts
from penstock_streams.kit.deadletters import dead_letter_of_record, dead_letter_of_timer
from penstock_streams.kit.errors import RowUnreadable
from penstock_streams.kit.intake import Arrived
from penstock_streams.kit.rows import RowDecoder, TimerRow, encode, row_key, timer_key

log = logging.getLogger("penstock.streams")

R = TypeVar("R", bound=Row)
Cause = tuple[str | int, ...]
"""What the ids of emitted records derive from."""
Encoded = tuple[tuple[str, int], Message, int]
"""Topic and partition, what to write there, and its bytes."""


class Fold:
    """Folds one batch. Use once; it is also the `Rows` that `decide` sees.

    Args:
        stored: reads the task's store by changelog key.
        now: microseconds, the same for the whole batch.
        timers_fired: of the task's position.
    """

    def __init__(
        self,
        facts: TaskFacts,
        codec: Codec,
        decoder: RowDecoder,
        stored: Callable[[bytes], bytes | None],
        now: int,
        timers_fired: int,
    ) -> None:
        self.result = FoldedBatch()
        self._facts = facts
        self._outputs = {topic.name for topic in facts.stage.outputs}
        self._codec = codec
        self._decoder = decoder
        self._stored = stored
        self._now = now
        self._timers_fired = timers_fired
        self._rows: dict[str, Row | None] = {}

    def get(self, key: str, row_type: type[R]) -> R | None:
        if key in self._rows:
            row = self._rows[key]
        else:
            raw = self._stored(row_key(key))
            row = self._rows[key] = None if raw is None else self._decoder.decode(key, raw)
        if row is not None and not isinstance(row, row_type):
            raise TypeError(f"row {key!r} is a {type(row).__name__}, not a {row_type.__name__}")
        return row

    def record(self, arrived: Arrived) -> None:
        """Fold one input record: decide it, pass it on to its own partition, or bury it."""
        raw, result, stage = arrived.raw, self.result, self._facts.stage
        result.records += 1
        result.next_offsets[raw.topic] = raw.offset + 1
        cause = (stage.name, raw.topic, raw.partition, raw.offset)
        trace = trace_of(raw.headers) if raw.headers else None
        if trace is not None:
            result.traces.add(trace)
        try:
            if isinstance(arrived.record, Exception):
                raise arrived.record
            if arrived.home != self._facts.partition:
                self._forward(arrived)
                return
            event = Event(arrived.record, raw.topic, raw.partition, raw.offset, raw.timestamp * 1000, trace)
            self._keep(stage.decide(self, event, self._now), cause, trace)
        except (RowUnreadable, MemoryError):  # says nothing about the record
            raise
        except Exception as exc:
            self._bury(dead_letter_of_record(raw, exc, stage.name), exc, cause, trace)

    def timer(self, name: str, due: int) -> None:
        """Fire one timer, unless an earlier one of this batch cancelled or moved it."""
        if name in self.result.timers:
            return
        facts = self._facts
        fired = self._timers_fired + self.result.timers_fired
        cause = (facts.stage.name, "timer", facts.partition, name, due, fired)
        self.result.timers_fired += 1
        self._change({timer_key(name): None}, {name: None})
        try:
            self._keep(facts.stage.decide(self, TimerDue(name, due), self._now), cause, None)
        except (RowUnreadable, MemoryError):
            raise
        except Exception as exc:
            letter = dead_letter_of_timer(facts.changelog, facts.partition, name, due, exc, facts.stage.name)
            self._bury(letter, exc, cause, None)

    def _keep(self, decision: Decision, cause: Cause, trace: TraceContext | None) -> None:
        """Encode and measure all of `decision`, then take it over."""
        rows: dict[str, Row | None] = {}
        changes: dict[bytes, bytes | None] = {}
        for key, row in decision.puts.items():
            raw = changes[row_key(key)] = encode(row)
            rows[key] = self._read_back(key, row, raw)
        for key in decision.deletes:
            changes[row_key(key)] = rows[key] = None
        timers: dict[str, TimerRow | None] = {}
        for timer in decision.timers:
            if not isinstance(timer.due, int | None):
                raise TypeError(f"timer {timer.name!r} is due at {timer.due!r}, not at microseconds")
            at_rest = timers[timer.name] = None if timer.due is None else TimerRow(timer.due, timer.after_grace)
            changes[timer_key(timer.name)] = None if at_rest is None else encode(at_rest)
        self._measure(changes)
        messages = [
            self._encoded(
                output.topic,
                output.record,
                derived_id(*cause, index),
                trace if output.trace is UNSET else output.trace,
            )
            for index, output in enumerate(decision.outputs)
        ]
        written = self.result.written
        for (target, message, size), output in zip(messages, decision.outputs, strict=True):
            self._send(target, message, size)
            written[type(output.record)] = written.get(type(output.record), 0) + 1
        self._rows.update(rows)
        self._change(changes, timers)

    def _read_back(self, key: str, row: Row, raw: bytes) -> Row:
        """`row` as it will be read from `raw`; one that could not be would stop the partition for good."""
        try:
            return self._decoder.decode(key, raw)
        except RowUnreadable as exc:
            raise TypeError(f"{type(row).__name__} for {key!r} could not be read back: {exc.__cause__}") from exc

    def _measure(self, changes: Mapping[bytes, bytes | None]) -> None:
        limit = self._facts.record_bytes[self._facts.changelog]
        for key, value in changes.items():
            if (size := len(key) + len(value or b"")) > limit:
                raise RecordTooLarge(
                    f"row {key[1:100]!r} is {size} bytes, above {limit}; what grows needs own rows"
                )

    def _encoded(self, topic: Topic, record: Record, event_id: str, trace: TraceContext | None) -> Encoded:
        if topic.name not in self._outputs:
            known = ", ".join(sorted(self._outputs))
            raise UnencodableRecord(
                f"{self._facts.stage.name} does not declare {topic.name} an output; has {known}"
            )
        return self._encode(topic, record, event_id, trace)

    def _encode(self, topic: Topic, record: Record, event_id: str, trace: TraceContext | None) -> Encoded:
        value = self._codec.encode(topic.name, record, event_id=event_id, occurred_at=self._now)
        message = Message(topic.routing_key(record).encode(), value, trace.headers() if trace else ())
        if (size := message.size()) > (limit := self._facts.record_bytes[topic.name]):
            raise RecordTooLarge(f"{type(record).__name__}: {size} bytes, above the {limit} of {topic.name}")
        partition = topic.partition_of(record, self._facts.partitions[topic.name])
        return (topic.name, partition), message, size

    def _forward(self, arrived: Arrived) -> None:
        """The same bytes, on the partition the record belongs to."""
        raw = arrived.raw
        message = Message(raw.key, raw.value, tuple(raw.headers))
        if (size := message.size()) > (limit := self._facts.record_bytes[raw.topic]):  # it came compressed
            raise RecordTooLarge(f"{size} bytes cannot be forwarded to partition {arrived.home}: above {limit}")
        self._send((raw.topic, arrived.home), message, size)
        self.result.forwarded += 1

    def _bury(self, letter: DeadLetter, error: Exception, cause: Cause, trace: TraceContext | None) -> None:
        bug = None if isinstance(error, UndecodableRecord) else error
        where = f"{letter.source_topic}/{letter.source_partition}@{letter.source_offset}"
        log.warning("dead letter: %s: %s: %s", where, letter.error_code, letter.error_message, exc_info=bug)
        self._send(*self._encode(DEAD_LETTERS, letter, derived_id(*cause, "dead-letter"), trace))
        self.result.dead_letters += 1
        self.result.letters[letter.error_code] = self.result.letters.get(letter.error_code, 0) + 1

    def _send(self, target: tuple[str, int], message: Message, size: int) -> None:
        self.result.messages.setdefault(target, []).append(message)
        self.result.encoded_bytes += size

    def _change(self, changes: Mapping[bytes, bytes | None], timers: Mapping[str, TimerRow | None]) -> None:
        self.result.changes.update(changes)
        self.result.timers.update(timers)
        self.result.encoded_bytes += sum(len(key) + len(value or b"") for key, value in changes.items())
