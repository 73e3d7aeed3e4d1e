"""What a streams process says of itself: over HTTP, with real inputs that stand still and go on."""

from __future__ import annotations

import asyncio
import dataclasses

import aiohttp
import pytest

from penstock_schemas.records import ConfigureTenant, Record
from penstock_services.embedded.ports import free_ports
from penstock_services.health import HealthSettings, serve_health
from tests.kit.conftest import MakeWorld
from tests.kit.counting import command

pytestmark = pytest.mark.integration


class Port:
    """The health port of a process."""

    def __init__(self, port: int, session: aiohttp.ClientSession) -> None:
        self._port, self._session = port, session

    async def get(self, path: str) -> tuple[int, str]:
        async with self._session.get(f"http://127.0.0.1:{self._port}{path}") as answer:
            return answer.status, await answer.text()


async def test_stalled_consumption_makes_a_process_not_ready_with_the_reason_until_it_goes_on(
    make_world: MakeWorld,
) -> None:
    world, may_go_on, begun = await make_world(), asyncio.Event(), asyncio.Event()

    async def stands_still(record: Record) -> Record:
        begun.set()
        await may_go_on.wait()
        return record

    stage = dataclasses.replace(world.stage, prepare={ConfigureTenant: stands_still})
    (number,) = free_ports(1)
    settings = HealthSettings(port=number, stalled_after_s=0.1)
    async with (
        aiohttp.ClientSession() as session,
        world.running(stage) as runner,
        serve_health(runner.ready, runner.standings, settings),
    ):
        port = Port(number, session)
        assert await port.get("/healthz/ready") == await port.get("/healthz") == (200, "ready")
        await world.send([command("a")] * 3)
        await begun.wait()

        async def stalls() -> bool:
            status, reason = await port.get("/healthz/ready")
            return status == 503 and f"counting {world.requests.name}/0 stands at 0" in reason

        await world.until(stalls, "it is not ready, and says where it stands")
        assert (await port.get("/healthz"))[0] == 503
        assert await port.get("/healthz/live") == (200, "alive")
        lag = f'penstock_consumer_lag{{consumer="counting",partition="0",topic="{world.requests.name}"}}'
        assert f"{lag} 3.0" in (await port.get("/metrics"))[1]

        may_go_on.set()
        await world.wait_for_outputs(3)

        async def caught_up() -> bool:
            return f"{lag} 0.0" in (await port.get("/metrics"))[1]

        await world.until(caught_up, "there is no lag")
        assert await port.get("/healthz/ready") == (200, "ready")


async def test_a_transaction_is_counted_with_its_size_its_time_and_what_it_wrote(make_world: MakeWorld) -> None:
    world = await make_world()
    stage = dataclasses.replace(world.stage, name=world.id)
    (number,) = free_ports(1)
    async with (
        aiohttp.ClientSession() as session,
        world.running(stage) as runner,
        serve_health(runner.ready, runner.standings, HealthSettings(port=number)),
    ):
        await world.send([command("a"), command("a", "raise"), command("a")])
        await world.wait_for_outputs(2)
        port = Port(number, session)

        async def counted() -> bool:
            text = (await port.get("/metrics"))[1]
            return all(
                line in text
                for line in (
                    f'penstock_stream_records_total{{stage="{world.id}"}} 3.0',
                    f'penstock_stream_written_total{{record="TenantConfigured",stage="{world.id}"}} 2.0',
                    f'penstock_stream_batch_records_sum{{stage="{world.id}"}} 3.0',
                    f'penstock_stream_commit_seconds_bucket{{le="10.0",stage="{world.id}"}}',
                    f'penstock_dead_letters_total{{code="ArithmeticError",stage="{world.id}"}} 1.0',
                )
            )

        await world.until(counted, "the transactions are counted")
