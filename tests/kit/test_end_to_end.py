"""A stage under the runner, without faults: counted once, in both inputs, over restarts and both stores."""

from __future__ import annotations

import pytest

from tests.kit.conftest import MakeWorld
from tests.kit.counting import command

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("store", ["memory", "rocksdb"])
async def test_counts_each_command_once_over_a_restart(make_world: MakeWorld, store: str) -> None:
    world = await make_world(partitions=2)
    tenants = [f"t{number}" for number in range(10)]
    await world.send(command(tenant) for tenant in tenants * 50)
    await world.send((command(tenant) for tenant in tenants), to=world.commands)
    async with world.running(store=store):
        await world.wait_for_outputs(510)
    await world.send(command(tenant) for tenant in tenants)
    async with world.running(store=store):
        await world.wait_for_outputs(520)
    assert await world.counts() == {f"{tenant}={n}": 1 for tenant in tenants for n in range(1, 53)}
