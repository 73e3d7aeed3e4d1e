"""Fixtures of the kit's tests."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests.kit.world import World

MakeWorld = Callable[..., Awaitable[World]]


@pytest.fixture
def make_world(kafka_bootstrap: str, registry_url: str, tmp_path: Path) -> MakeWorld:
    """Topics of the test's own, on the session's broker."""

    async def make(partitions: int = 1) -> World:
        world = World(kafka_bootstrap, registry_url, tmp_path / "rocks", partitions)
        await world.set_up()
        return world

    return make
