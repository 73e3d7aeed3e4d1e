"""The servers of the harness: a registry for all its worlds; a broker and a ClickHouse engine for each."""

from __future__ import annotations

import secrets
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import SecretStr

from penstock.settings import ClickHouseSettings
from penstock_services.embedded.jars import java_servers
from penstock_services.embedded.java import find_java
from penstock_services.embedded.kafka import kafka_process
from penstock_services.embedded.ports import free_ports
from penstock_services.embedded.probes import http_probe
from penstock_services.embedded.process import ServerProcess
from penstock_services.embedded.registry import registry_process, registry_url
from penstock_services.embedded.warm_up import ensure_class_archives
from tests.faults.cut import Wire
from tests.faults.kept import Kept


@asynccontextmanager
async def registry(folder: Path) -> AsyncIterator[str]:
    """A registry that keeps its schemas in memory, for any number of worlds; its address."""
    java, jars = find_java(), java_servers()
    await ensure_class_archives(java, jars)
    (port,) = free_ports(1)
    kept = Kept(registry_process(java, jars, port, folder / "registry.log", kafka_bootstrap=None))
    async with kept_running(kept):
        yield registry_url(port)


@asynccontextmanager
async def clickhouse(folder: Path) -> AsyncIterator[tuple[Kept, ClickHouseSettings]]:
    """A ClickHouse engine with its data in `folder`, and how to reach it."""
    (port,) = free_ports(1)
    password, password_file = secrets.token_hex(16), folder / "clickhouse.password"
    password_file.write_text(password)
    where = ("--path", str(folder / "clickhouse"), "--port", str(port), "--password-file", str(password_file))
    kept = Kept(
        ServerProcess(
            name="clickhouse",
            argv=(sys.executable, "-m", "penstock_services.embedded.clickhouse", *where),
            log_path=folder / "clickhouse.log",
            health=http_probe(f"http://127.0.0.1:{port}/ping", expected_body="Ok."),
        )
    )
    async with kept_running(kept):
        yield kept, ClickHouseSettings(port=port, password=SecretStr(password))


@asynccontextmanager
async def kept_running(kept: Kept) -> AsyncIterator[None]:
    """Healthy while the body begins, kept running through it, stopped at its end."""
    try:
        await kept.start()
        yield
    finally:
        await kept.leave()


@dataclass(frozen=True, slots=True)
class Broker:
    """A broker, with wires that lead to it; or the first of a cluster."""

    kept: Kept
    bootstrap: str
    wires: Sequence[Wire]
    wired_bootstraps: Sequence[str]
    """Address of the broker through each wire; what connects there never learns another address."""
    cluster: Sequence[Kept] = ()
    """All brokers of the cluster, by node, where it is one."""


@asynccontextmanager
async def broker(folder: Path, wires: int) -> AsyncIterator[Broker]:
    """A broker with its data in `folder`. Each wire leads to a listener of its own, which advertises the wire:
    a broker tells its clients where to connect, and would otherwise tell them the way around."""
    java, jars = find_java(), java_servers()
    port, controller_port, *others = free_ports(2 + 2 * wires)
    behind, before = others[:wires], others[wires:]
    spec = kafka_process(java, jars, folder / "kafka", folder / "kafka.log", port, controller_port)
    prepare_plain, properties = spec.prepare, folder / "kafka" / "server.properties"

    async def prepare() -> None:
        assert prepare_plain is not None
        await prepare_plain()
        with properties.open("a") as file:  # of two lines for one property the last counts
            file.write(_listeners(port, controller_port, behind, before))

    kept = Kept(replace(spec, prepare=prepare))
    async with AsyncExitStack() as started:
        await started.enter_async_context(kept_running(kept))
        made = []
        for to_port, at_port in zip(behind, before, strict=True):
            wire = Wire(to_port)
            await wire.start(at_port)
            started.push_async_callback(wire.stop)
            made.append(wire)
        yield Broker(kept, f"127.0.0.1:{port}", made, [f"127.0.0.1:{at_port}" for at_port in before])


def _listeners(port: int, controller_port: int, behind: Sequence[int], before: Sequence[int]) -> str:
    names = [f"WIRE{number}" for number in range(len(behind))]
    listening = [("CLIENTS", port), *zip(names, behind, strict=True), ("CONTROLLER", controller_port)]
    advertised = [("CLIENTS", port), *zip(names, before, strict=True)]

    def text(pairs: Sequence[tuple[str, int]]) -> str:
        return ",".join(f"{name}://127.0.0.1:{number}" for name, number in pairs)

    protocols = ",".join(f"{name}:PLAINTEXT" for name, _ in listening)
    return (
        f"listeners={text(listening)}\nadvertised.listeners={text(advertised)}\n"
        f"listener.security.protocol.map={protocols}\n"
    )
