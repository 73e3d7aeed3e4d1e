"""The worker as a process: how it stops, and that nothing outlives it."""

import asyncio
import dataclasses
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psutil
import pytest

from penstock.settings import KafkaSettings
from penstock_schemas import records as r
from penstock_services.embedded.ports import free_ports
from tests.worker.lease_authority import QUEUE, LeaseAuthority, Platform, exists, until

pytestmark = pytest.mark.integration

COMMAND = """
import typer
from penstock_consumers.worker.commands import register
app = typer.Typer()
register(app)
app()
"""


@asynccontextmanager
async def worker_process(
    platform: Platform, *options: str, output: int | None = None, tiers: str = ""
) -> AsyncIterator[asyncio.subprocess.Process]:
    environment = os.environ | {
        "PENSTOCK_KAFKA_BOOTSTRAP_SERVERS": platform.kafka.bootstrap_servers,
        "PENSTOCK_REGISTRY_URL": platform.registry.url,
        "PENSTOCK_WORKER_HEARTBEAT_S": "0.2",
        "PENSTOCK_WORKER_TIERS": tiers,
        "PENSTOCK_WORKER_LEASE_MARGIN_S": "0.3",
        "PENSTOCK_HEALTH_PORT": str(free_ports(1)[0]),
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        COMMAND,
        "--queue",
        QUEUE,
        "--concurrency",
        "2",
        *options,
        env=environment,
        stderr=output,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            os.kill(process.pid, signal.SIGCONT)
            process.terminate()  # it leaves its group, and the next test's worker need not wait for that
            async with asyncio.timeout(20):
                await process.wait()


async def test_sigterm_lets_runs_end_hands_back_the_rest_and_takes_nothing_new(authority, platform):
    async with worker_process(platform, "--drain-s", "2") as process:
        short, long = await authority.dispatch("waits", input="1"), await authority.dispatch("waits", input="900")
        pids = [await authority.pid_of(short), await authority.pid_of(long)]
        process.terminate()
        assert (await authority.finished(short)).status == "completed"
        late = await authority.dispatch("works")
        finish = await authority.finished(long)
        assert (finish.status, finish.last_seq, finish.error_type) == ("handed_back", 1, None)
        async with asyncio.timeout(10):
            assert await process.wait() == 0
    assert not any(exists(pid) for pid in pids)
    assert not authority.all(r.ClaimLease, late)
    async with worker_process(platform):  # what the drained worker left is another's
        assert (await authority.finished(late)).status == "completed"


async def test_a_stopped_worker_does_not_keep_its_run_alive_beyond_the_lease(authority: LeaseAuthority, platform):
    authority.hold_ms = 3_000
    async with worker_process(platform) as process:
        execution = await authority.dispatch("blocks")
        pid = await authority.pid_of(execution)
        os.kill(process.pid, signal.SIGSTOP)
        await until(lambda: not exists(pid), "the slot killed itself")
        os.kill(process.pid, signal.SIGCONT)
        assert (await authority.finished(await authority.dispatch("works"))).status == "completed"
    assert not authority.all(r.FinishAttempt, execution)
    assert len(authority.all(r.RecordUsage, execution)) == 1


async def test_a_worker_that_is_stopped_while_it_waits_for_kafka_ends_at_once(platform):
    nowhere = dataclasses.replace(platform, kafka=KafkaSettings(bootstrap_servers="127.0.0.1:9"))
    async with worker_process(nowhere, output=asyncio.subprocess.PIPE) as process:
        async with asyncio.timeout(20):
            while b"waiting up to" not in await process.stderr.readline():
                pass
        process.terminate()
        async with asyncio.timeout(5):
            assert await process.wait() == 0


async def test_slots_and_what_they_run_end_with_a_killed_worker(authority, platform):
    async with worker_process(platform) as process:
        await authority.pid_of(await authority.dispatch("blocks"))
        children = psutil.Process(process.pid).children(recursive=True)
        assert len(children) == 3  # two slots, and the command one of them runs
        process.kill()
        await process.wait()
        await until(lambda: not any(exists(child.pid) for child in children), "all children ended")
