"""What a record needs of the stage's rows before its decision: it sees those committed before it."""

from __future__ import annotations

import asyncio
import dataclasses

import pytest

from penstock.errors import ArtifactStoreUnreachable
from penstock_schemas.records import ConfigureTenant, Record
from penstock_streams.kit import Rows
from tests.kit.conftest import MakeWorld
from tests.kit.counting import Count, command

pytestmark = pytest.mark.integration


async def test_it_sees_the_rows_of_the_commits_before_its_batch(make_world: MakeWorld) -> None:
    world = await make_world(partitions=1)

    async def prepare(record: Record, rows: Rows) -> Record:
        row = rows.get(record.tenant_id, Count)
        return record.model_copy(update={"tier": f"{record.tier} sees {row.n if row else 'nothing'}"})

    stage = dataclasses.replace(world.stage, prepare_with_rows={ConfigureTenant: prepare})
    async with world.running(stage):
        await world.send([command("t", "first")])
        await world.wait_for_outputs(1)
        await world.send([command("t", "second"), command("other", "third")])
        found = {out.tier for out in await world.wait_for_outputs(3)}
    assert found == {"first sees nothing", "second sees 1", "third sees nothing"}


async def test_what_it_cannot_reach_is_waited_for_and_any_other_failure_is_the_records_poison(
    make_world: MakeWorld,
) -> None:
    world = await make_world(partitions=1)
    failures: list[Exception | None]
    failures = [ArtifactStoreUnreachable("store is down"), None, ArithmeticError("no"), None]

    async def prepare(record: Record, rows: Rows) -> Record:
        await asyncio.sleep(0)
        if failure := failures.pop(0):
            raise failure
        return record

    stage = dataclasses.replace(world.stage, prepare_with_rows={ConfigureTenant: prepare})
    async with world.running(stage):
        await world.send([command("t1"), command("t2"), command("t3")])
        assert [out.tenant_id for out in await world.wait_for_outputs(2)] == ["t1", "t3"]
        (letter,) = await world.dead_letters()
    assert (letter.error_code, letter.error_message) == ("ArithmeticError", "no")
