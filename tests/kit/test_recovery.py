"""Recovery completes on every kind of changelog tail, and finds exactly what was committed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from penstock_streams.kit.recovery import catch_up
from penstock_streams.kit.store import Mark, MemoryStore
from tests.kit.conftest import MakeWorld
from tests.kit.world import World

pytestmark = pytest.mark.integration

RETENTION_S = 1000.0


class Changelog:
    """A topic of the test's own, written like a changelog."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.partition = TopicPartition(world.out.name, 0)

    @asynccontextmanager
    async def producer(self, transactional_id: str = "own") -> AsyncIterator[AIOKafkaProducer]:
        options = self.world.kafka.client_options() | {"transactional_id": f"{self.world.id}-{transactional_id}"}
        async with AIOKafkaProducer(**options, retry_backoff_ms=20) as producer:
            yield producer

    async def write(
        self, producer: AIOKafkaProducer, number: int, value: bytes = b"v", key: bytes = b"r%d"
    ) -> None:
        for index in range(number):
            await producer.send(self.partition.topic, value, key=key % index, partition=0)
        await producer.flush()

    async def commit(self, number: int, **more: bytes) -> None:
        async with self.producer() as producer, producer.transaction():
            await self.write(producer, number, **more)

    async def abort(self, number: int) -> None:
        async with self.producer() as producer:
            await producer.begin_transaction()
            await self.write(producer, number, value=b"aborted")
            await producer.abort_transaction()

    async def recover(self, store: MemoryStore | None = None, clock: Callable[[], int] = lambda: 0) -> MemoryStore:
        """As a task does it: fence first. A commit returns before its markers are written; fencing waits."""
        found = store or MemoryStore()
        async with self.producer():
            pass
        options = self.world.kafka.client_options()
        async with asyncio.timeout(15):
            await catch_up(found, self.partition, options, clock=clock, delete_retention_s=RETENTION_S)
        return found


@pytest.fixture
async def changelog(make_world: MakeWorld) -> Changelog:
    return Changelog(await make_world())


def rows(store: MemoryStore) -> dict[bytes, bytes]:
    return dict(store.between(b"r", b"s"))


THREE = {b"r0": b"v", b"r1": b"v", b"r2": b"v"}


async def test_an_empty_changelog(changelog: Changelog) -> None:
    assert (await changelog.recover()).is_empty()


async def test_a_tail_that_is_a_commit_marker(changelog: Changelog) -> None:
    await changelog.commit(3)
    assert rows(await changelog.recover()) == THREE


async def test_a_tail_of_4000_aborted_records(changelog: Changelog) -> None:
    await changelog.commit(3)
    await changelog.abort(4000)
    assert rows(await changelog.recover()) == THREE


async def test_nothing_but_aborts(changelog: Changelog) -> None:
    for _ in range(3):
        await changelog.abort(5)
    assert (await changelog.recover()).is_empty()


async def test_our_own_open_transaction_is_ended_by_fencing_and_not_seen(changelog: Changelog) -> None:
    await changelog.commit(3)
    async with changelog.producer() as dead:
        await dead.begin_transaction()
        await changelog.write(dead, 5, value=b"open")
        async with changelog.producer():  # the next owner's start
            assert rows(await changelog.recover()) == THREE


async def test_a_foreign_open_transaction_does_not_hold_recovery_up(changelog: Changelog) -> None:
    await changelog.commit(3)
    async with changelog.producer("foreign") as foreign:
        await foreign.begin_transaction()
        await changelog.write(foreign, 5, value=b"open")
        assert rows(await changelog.recover()) == THREE
        await foreign.abort_transaction()


async def test_control_waiting_for_the_last_offset_never_completes_on_a_marker(changelog: Changelog) -> None:
    await changelog.commit(3)
    options: dict[str, Any] = changelog.world.kafka.client_options() | {"isolation_level": "read_committed"}
    async with AIOKafkaConsumer(**options, auto_offset_reset="earliest") as reader:
        reader.assign([changelog.partition])
        end = (await reader.end_offsets([changelog.partition]))[changelog.partition]
        await reader.seek_to_beginning(changelog.partition)
        seen = [await reader.getone() for _ in range(3)]
        assert seen[-1].offset < end - 1, "Faust's criterion: a record at end - 1 arrived"
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.getone(), 0.5)


async def test_catching_up_applies_only_what_is_new_tombstones_too(changelog: Changelog) -> None:
    await changelog.commit(3)
    store = await changelog.recover()
    mark = store.mark()
    async with changelog.producer() as producer, producer.transaction():
        await producer.send(changelog.partition.topic, None, key=b"r1", partition=0)
    store.apply([(b"r0", b"local")], mark or Mark(0, 0))  # would be overwritten by a rebuild
    assert rows(await changelog.recover(store)) == {b"r0": b"local", b"r2": b"v"}


async def test_a_store_older_than_half_the_tombstones_life_is_rebuilt(changelog: Changelog) -> None:
    await changelog.commit(3)
    store = MemoryStore()
    store.apply([(b"rghost", b"its tombstone was compacted away")], Mark(1, 0))
    just_in_time = int(RETENTION_S * 500_000)
    assert b"rghost" in rows(await changelog.recover(store, clock=lambda: just_in_time))
    store.apply([], Mark(1, 0))
    assert rows(await changelog.recover(store, clock=lambda: just_in_time + 1)) == THREE


async def test_a_store_without_a_mark_is_of_another_layout_and_rebuilt(changelog: Changelog) -> None:
    await changelog.commit(3)
    store = MemoryStore()
    store.note([(b"\0mark", b"of an older one"), (b"rghost", b"its tombstone was compacted away")])
    assert rows(await changelog.recover(store)) == THREE
    assert store.get(b"\0mark") is None


async def test_a_store_ahead_of_its_changelog_is_of_another_one_and_rebuilt(changelog: Changelog) -> None:
    await changelog.commit(3)
    store = MemoryStore()
    store.apply([(b"rother", b"x")], Mark(1_000_000, 0))
    assert rows(await changelog.recover(store)) == THREE
