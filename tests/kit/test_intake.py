"""Decoding, routing and preparing: what waits, what is poison. No broker."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from types import SimpleNamespace

import pytest

from penstock.errors import ArtifactStoreUnreachable, InvalidRecord
from penstock_schemas.codec import Codec
from penstock_schemas.records import ConfigureTenant, Record
from penstock_streams.kit.intake import Arrived, Intake
from tests.kit.counting import command
from tests.kit.offline import offline_codec
from tests.kit.world import topic

IN = topic("intake-in", ConfigureTenant)
TENANT, ITS_PARTITION = "t0", IN.partition_of(command("t0"), 4)


@pytest.fixture(scope="module")
async def codec() -> Codec:
    return await offline_codec([IN])


class Waits(list[str | None]):
    """What the task said it waits for."""


async def admit(
    codec: Codec,
    value: bytes | None = None,
    *,
    prepare: Callable[[Record], Awaitable[Record]] | None = None,
    partition: int = ITS_PARTITION,
    waits: Waits | None = None,
) -> Arrived:
    value = codec.encode(IN.name, command(TENANT)) if value is None else value
    raw = SimpleNamespace(
        topic=IN.name, partition=partition, offset=0, timestamp=1, key=None, value=value, headers=()
    )
    said = waits if waits is not None else Waits()
    intake = Intake({IN.name: IN}, 4, partition, codec, {ConfigureTenant: prepare} if prepare else {}, said.append)
    (arrived,) = await intake.admit([raw])
    return arrived


async def test_a_record_is_decoded_and_knows_its_own_partition(codec: Codec) -> None:
    for partition in range(4):
        assert (await admit(codec, partition=partition)).home == ITS_PARTITION


async def test_a_field_that_breaks_the_contract_is_poison(codec: Codec) -> None:
    good = codec.encode(IN.name, command(TENANT))
    assert isinstance((await admit(codec, good.replace(b"t0", b"t/"))).record, InvalidRecord)


async def test_what_prepare_cannot_reach_is_waited_for(codec: Codec) -> None:
    failures = [ArtifactStoreUnreachable("store is down"), None]

    async def prepare(record: Record) -> Record:
        if failure := failures.pop(0):
            raise failure
        return record.model_copy(update={"event_id": "prepared"})

    waits = Waits()
    arrived = await admit(codec, prepare=prepare, waits=waits)
    assert isinstance(arrived.record, ConfigureTenant)
    assert arrived.record.event_id == "prepared"
    assert waits == ["store is down", None]


async def test_any_other_failure_of_prepare_is_the_records_poison(codec: Codec) -> None:
    async def prepare(record: Record) -> Record:
        raise ArithmeticError("no")

    assert isinstance((await admit(codec, prepare=prepare)).record, ArithmeticError)


async def test_a_record_of_another_partition_is_not_prepared(codec: Codec) -> None:
    async def prepare(record: Record) -> Record:
        raise AssertionError("its own partition will prepare it")

    assert isinstance((await admit(codec, prepare=prepare, partition=(ITS_PARTITION + 1) % 4)).record, Record)
