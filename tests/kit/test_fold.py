"""The fold alone: what one batch becomes, for any events and any cut into batches. No broker."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock_schemas.codec import Codec
from penstock_schemas.records import ConfigureTenant, DeadLetter, TenantConfigured
from penstock_schemas.topics import DEAD_LETTERS, MAX_RECORD_BYTES
from penstock_schemas.traces import TraceContext
from penstock_streams.kit import Decision, Output, Timer
from penstock_streams.kit.batch import FoldedBatch, TaskFacts
from penstock_streams.kit.errors import RowUnreadable
from penstock_streams.kit.fold import Fold
from penstock_streams.kit.intake import Arrived
from penstock_streams.kit.rows import RowDecoder, TimerRow, row_key, timer_key
from tests.kit.counting import Count, command, counting_stage
from tests.kit.offline import offline_codec
from tests.kit.world import topic

IN, OUT = topic("fold-in", ConfigureTenant), topic("fold-out", TenantConfigured)
NOW = 1_790_000_000_000_000
STAGE = counting_stage("counting", (IN,), OUT)


def facts(partition: int = 0, partitions: int = 1) -> TaskFacts:
    counts = {IN.name: partitions, OUT.name: 3, DEAD_LETTERS.name: 1}
    limits = dict.fromkeys([*counts, "changelog"], MAX_RECORD_BYTES)
    return TaskFacts(STAGE, partition, "changelog", counts, limits)


@pytest.fixture(scope="module")
async def codec() -> Codec:
    return await offline_codec([IN, OUT])


def arrived(offset: int, record: ConfigureTenant | Exception, home: int = 0, **raw: Any) -> Arrived:
    fields = {"topic": IN.name, "partition": 0, "timestamp": 1, "key": b"k", "value": b"v", "headers": ()}
    return Arrived(SimpleNamespace(offset=offset, **fields | raw), home, record)


def nothing(_: bytes) -> bytes | None:
    """An empty store."""
    return None


class Table:
    """Rows between batches, as a store keeps them."""

    def __init__(self, codec: Codec) -> None:
        self.codec, self.rows, self.fired = codec, dict[bytes, bytes](), 0

    def fold(self, events: Sequence[Arrived] = (), timers: Sequence[tuple[str, int]] = ()) -> FoldedBatch:
        fold = Fold(facts(), self.codec, RowDecoder(STAGE.row_types), self.rows.get, NOW, self.fired)
        for event in events:
            fold.record(event)
        for name, due in timers:
            fold.timer(name, due)
        for key, value in fold.result.changes.items():
            if value is None:
                self.rows.pop(key, None)
            else:
                self.rows[key] = value
        self.fired += fold.result.timers_fired
        return fold.result

    def counts(self) -> dict[bytes, Count]:
        decoder = RowDecoder(STAGE.row_types)
        return {key: row for key, raw in self.rows.items() if isinstance(row := decoder.decode("", raw), Count)}


def written(codec: Codec, batches: Sequence[FoldedBatch], name: str = OUT.name) -> list[Any]:
    return [
        codec.decode(name, message.value)
        for batch in batches
        for (target, _), messages in sorted(batch.messages.items())
        if target == name
        for message in messages
    ]


whats = st.sampled_from(["", "raise", "number", "bigrow", "poison"])
events = st.lists(st.tuples(st.sampled_from("abc"), whats), max_size=30)


def as_arrived(given_events: list[tuple[str, str]]) -> list[Arrived]:
    return [
        arrived(offset, ValueError("undecodable") if what == "poison" else command(tenant, what))
        for offset, (tenant, what) in enumerate(given_events)
    ]


@settings(max_examples=60, deadline=None)
@given(events, st.lists(st.integers(0, 30), max_size=4))
def test_any_cut_into_batches_gives_the_same_rows_and_records(
    codec: Codec, given_events: list[tuple[str, str]], cuts: list[int]
) -> None:
    whole, pieces = Table(codec), Table(codec)
    stream = as_arrived(given_events)
    at_once = [whole.fold(stream)]
    edges = [0, *sorted(cuts), len(stream)]
    in_pieces = [pieces.fold(stream[start:end]) for start, end in itertools.pairwise(edges)]
    assert pieces.rows == whole.rows
    for name in (OUT.name, DEAD_LETTERS.name):
        one = {record.event_id: record for record in written(codec, at_once, name)}
        assert {record.event_id: record for record in written(codec, in_pieces, name)} == one


@settings(max_examples=60, deadline=None)
@given(events)
def test_every_event_is_either_counted_once_or_a_dead_letter(
    codec: Codec, given_events: list[tuple[str, str]]
) -> None:
    table = Table(codec)
    batch = table.fold(as_arrived(given_events))
    letters = written(codec, [batch], DEAD_LETTERS.name)
    assert len(written(codec, [batch])) + len(letters) == len(given_events)
    assert sum(row.n for row in table.counts().values()) == len(given_events) - len(letters)
    failing = [offset for offset, (_, what) in enumerate(given_events) if what in ("raise", "number", "poison")]
    assert [letter.source_offset for letter in letters] == failing


def test_an_event_that_fails_after_its_put_leaves_no_trace_but_the_dead_letter(codec: Codec) -> None:
    table = Table(codec)
    batch = table.fold([arrived(0, command("a", "raise"))])
    (letter,) = written(codec, [batch], DEAD_LETTERS.name)
    assert (letter.error_code, letter.error_message) == ("ArithmeticError", "asked to")
    assert batch.changes == {}
    assert list(batch.messages) == [(DEAD_LETTERS.name, 0)]
    assert batch.next_offsets == {IN.name: 1}


def test_an_oversized_row_or_output_is_its_events_poison(codec: Codec) -> None:
    batch = Table(codec).fold(
        [
            arrived(0, command("a", "big", MAX_RECORD_BYTES)),
            arrived(1, command("a", "bigrow", MAX_RECORD_BYTES)),
            arrived(2, command("a")),
        ]
    )
    letters = written(codec, [batch], DEAD_LETTERS.name)
    assert [letter.error_code for letter in letters] == ["record_too_large"] * 2
    assert [record.concurrency for record in written(codec, [batch])] == [1]


def test_a_stored_row_of_another_shape_stops_the_task_and_is_nobodys_poison(codec: Codec) -> None:
    table = Table(codec)
    table.rows[row_key("a")] = b"\x93\x01\x02\x03"
    with pytest.raises(RowUnreadable, match="row 'a' fits none of Count, Text"):
        table.fold([arrived(0, command("a"))])


def test_ids_of_records_derive_from_their_cause(codec: Codec) -> None:
    events = [arrived(0, command("a")), arrived(1, command("a"))]
    first, again = (written(codec, [Table(codec).fold(events)]) for _ in range(2))
    assert [record.event_id for record in first] == [record.event_id for record in again]
    assert len({record.event_id for record in first}) == 2


def test_a_record_of_another_partition_is_passed_on_with_its_bytes_and_not_folded(codec: Codec) -> None:
    table = Table(codec)
    batch = table.fold([arrived(0, command("a"), home=2, value=b"bytes", headers=(("h", b"1"), ("n", None)))])
    ((target, (message,)),) = batch.messages.items()
    assert target == (IN.name, 2)
    assert (message.key, message.value, list(message.headers)) == (b"k", b"bytes", [("h", b"1"), ("n", None)])
    assert table.rows == {}


def test_a_dead_letter_fits_whatever_the_record_was(codec: Codec) -> None:
    headers = tuple((f"h{number}", b"x" * 1000) for number in range(500))
    huge = arrived(0, ValueError("x" * 10**6 + "\ud800"), key=b"k" * 10**6, value=b"v" * 10**6, headers=headers)
    batch = Table(codec).fold([huge])
    (letter,) = written(codec, [batch], DEAD_LETTERS.name)
    assert isinstance(letter, DeadLetter)
    assert (len(letter.value or b""), letter.value_size) == (64 * 1024, 10**6)


def test_a_timer_cancelled_by_an_earlier_one_of_its_batch_does_not_fire(codec: Codec) -> None:
    def decide(rows: Any, event: Any, now: int) -> Any:
        return STAGE.decide(rows, dataclasses.replace(event), now) if event.name != "first" else cancelling

    cancelling = Decision(timers=[Timer("second", None)])
    stage = dataclasses.replace(STAGE, decide=decide)
    fold = Fold(dataclasses.replace(facts(), stage=stage), codec, RowDecoder(STAGE.row_types), nothing, NOW, 0)
    fold.timer("first", 1)
    fold.timer("second", 2)
    assert fold.result.timers_fired == 1
    assert fold.result.changes == {timer_key("first"): None, timer_key("second"): None}


def test_a_timer_that_fails_is_a_dead_letter_and_gone(codec: Codec) -> None:
    def decide(*_: Any) -> Any:
        raise ArithmeticError("timer")

    stage = dataclasses.replace(STAGE, decide=decide)
    fold = Fold(dataclasses.replace(facts(), stage=stage), codec, RowDecoder(STAGE.row_types), nothing, NOW, 0)
    fold.timer("t", 5)
    (letter,) = written(codec, [fold.result], DEAD_LETTERS.name)
    assert (letter.source_topic, letter.source_offset, letter.key) == ("changelog", -1, b"t")
    assert fold.result.timers == {"t": None}


def test_a_timer_is_a_row(codec: Codec) -> None:
    batch = Table(codec).fold([arrived(0, command("a", "timer", 1000))])
    assert batch.timers == {"a": TimerRow(NOW + 1_000_000, after_grace=False)}
    assert timer_key("a") in batch.changes


TRACE = TraceContext(f"00-{'a' * 32}-{'b' * 16}-01", "vendor=1")


def fold_with(codec: Codec, decide: Any, event: Arrived) -> FoldedBatch:
    stage = dataclasses.replace(STAGE, decide=decide)
    fold = Fold(dataclasses.replace(facts(), stage=stage), codec, RowDecoder(STAGE.row_types), nothing, NOW, 0)
    fold.record(event)
    return fold.result


def headers_of(batch: FoldedBatch, name: str = OUT.name) -> list[Any]:
    return [
        tuple(message.headers)
        for (target, _), messages in batch.messages.items()
        if target == name
        for message in messages
    ]


def test_what_a_record_causes_carries_its_trace_and_none_of_its_other_headers(codec: Codec) -> None:
    traced = arrived(0, command("a"), headers=(("mine", b"1"), *TRACE.headers()))
    batch = Table(codec).fold(
        [traced, arrived(1, command("a")), arrived(2, command("a"), headers=[("mine", b"1")])]
    )
    assert headers_of(batch) == [TRACE.headers(), (), ()]


def test_the_dead_letter_of_a_record_carries_its_trace(codec: Codec) -> None:
    batch = Table(codec).fold([arrived(0, command("a", "raise"), headers=TRACE.headers())])
    assert headers_of(batch, DEAD_LETTERS.name) == [TRACE.headers()]


def test_decide_sees_the_trace_and_may_name_another_or_none(codec: Codec) -> None:
    other = TraceContext(f"00-{'c' * 32}-{'d' * 16}-00")
    seen = []

    def decide(rows: Any, event: Any, now: int) -> Decision:
        seen.append(event.trace)
        (plain,) = STAGE.decide(rows, event, now).outputs
        return Decision(outputs=[plain, Output(OUT, plain.record, other), Output(OUT, plain.record, None)])

    batch = fold_with(codec, decide, arrived(0, command("a"), headers=TRACE.headers()))
    assert seen == [TRACE]
    assert headers_of(batch) == [TRACE.headers(), other.headers(), ()]


def test_headers_count_towards_the_size_of_a_record(codec: Codec) -> None:
    limits = dataclasses.replace(facts(), record_bytes={**facts().record_bytes, OUT.name: 150})
    for headers, letters in ((), 0), (TRACE.headers(), 1):
        fold = Fold(limits, codec, RowDecoder(STAGE.row_types), nothing, NOW, 0)
        fold.record(arrived(0, command("a"), headers=headers))
        assert fold.result.dead_letters == letters


def test_a_batch_counts_what_it_wrote_by_type_and_its_dead_letters_by_code(codec: Codec) -> None:
    batch = Table(codec).fold(
        [arrived(0, command("a")), arrived(1, command("a")), arrived(2, command("a", "raise"))]
    )
    assert (batch.written, batch.letters) == ({TenantConfigured: 2}, {"ArithmeticError": 1})
