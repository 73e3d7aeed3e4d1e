"""The process around the stages: a clean end on SIGTERM, and Faust's internals as they were tested."""

from __future__ import annotations

import asyncio
import signal

import faust
import pytest
from faust.transport.drivers import aiokafka as driver

from penstock_streams.kit import _faust
from penstock_streams.kit.errors import UnsupportedFaust
from tests.kit.conftest import MakeWorld
from tests.kit.counting import command


@pytest.mark.integration
async def test_sigterm_ends_the_process_cleanly_and_leaves_the_group_at_once(make_world: MakeWorld) -> None:
    world = await make_world()
    await world.send([command("a")] * 3)
    async with world.process() as process:
        await world.wait_for_outputs(3)
        process.terminate()
        assert await asyncio.wait_for(process.wait(), 20) == 0
    await world.send([command("a")] * 3)
    async with world.process(folder="rocks-2"):
        await world.wait_for_outputs(6)
    assert await world.counts() == {f"a={n}": 1 for n in range(1, 7)}


@pytest.mark.integration
async def test_sigterm_ends_a_process_that_still_waits_for_the_registry(make_world: MakeWorld) -> None:
    world = await make_world()
    world.registry_url = "http://127.0.0.1:9/apis/ccompat/v7"  # the discard port: nothing listens
    async with world.process() as process:
        log = world.folder.parent / "rocks.log"
        await world.until(lambda: "trying again" in log.read_text(), "it waits for the registry")
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 20) == 0


def test_the_faust_here_is_the_one_the_kit_was_tested_with() -> None:
    _faust.check_faust()


def test_another_version_of_faust_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faust, "__version__", "0.16.0")
    with pytest.raises(UnsupportedFaust, match=r"faust-streaming is 0\.16\.0, the kit was tested with 0\.15\.3"):
        _faust.check_faust()


def test_a_missing_internal_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver.Consumer, "seek_to_committed", lambda self, extra: None)
    with pytest.raises(UnsupportedFaust, match="Consumer.seek_to_committed"):
        _faust.check_faust()


def test_a_missing_constant_of_aiokafka_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(_faust.aiokafka_sender, "BACKOFF_OVERRIDE")
    with pytest.raises(UnsupportedFaust, match="BACKOFF_OVERRIDE"):
        _faust.check_faust()
