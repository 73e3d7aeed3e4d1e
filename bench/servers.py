"""What the benchmarks share: servers of their own, and measured work in a process of its own."""

from __future__ import annotations

import asyncio
import json
import secrets
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from penstock.settings import ClickHouseSettings
from penstock_services.embedded.jars import java_servers
from penstock_services.embedded.java import find_java
from penstock_services.embedded.kafka import kafka_process
from penstock_services.embedded.ports import free_ports
from penstock_services.embedded.probes import http_probe
from penstock_services.embedded.process import ServerProcess, running
from penstock_services.embedded.registry import registry_process, registry_url


async def start_servers(stack: AsyncExitStack, folder: Path) -> tuple[str, str]:
    """Start a broker and a registry in `folder`; their addresses. They stop with `stack`."""
    java, servers = find_java(), java_servers()
    kafka_port, controller_port, registry_port = free_ports(3)
    kafka = kafka_process(java, servers, folder / "kafka", folder / "kafka.log", kafka_port, controller_port)
    await stack.enter_async_context(running(kafka))
    registry = registry_process(java, servers, registry_port, folder / "registry.log", kafka_bootstrap=None)
    await stack.enter_async_context(running(registry))
    return f"127.0.0.1:{kafka_port}", registry_url(registry_port)


async def start_clickhouse(stack: AsyncExitStack, folder: Path) -> ClickHouseSettings:
    """Start the embedded ClickHouse in `folder`; it stops with `stack`."""
    (port,) = free_ports(1)
    password_file = folder / "password"
    password_file.write_text(secrets.token_hex(16))
    arguments = ("--path", folder / "clickhouse", "--port", port, "--password-file", password_file)
    process = ServerProcess(
        name="clickhouse",
        argv=(sys.executable, "-m", "penstock_services.embedded.clickhouse", *map(str, arguments)),
        log_path=folder / "clickhouse.log",
        health=http_probe(f"http://127.0.0.1:{port}/ping"),
        ports={"clickhouse": port},
    )
    await stack.enter_async_context(running(process))
    return ClickHouseSettings(port=port, password=password_file.read_text())


async def in_a_process(script: str, *arguments: Any) -> dict[str, float]:
    """Run `python script --worker ARGUMENTS`; the figures it prints as its last line."""
    worker = await asyncio.create_subprocess_exec(
        sys.executable, script, "--worker", json.dumps(arguments), stdout=asyncio.subprocess.PIPE
    )
    out, _ = await worker.communicate()
    if worker.returncode:
        raise SystemExit(f"{script} {arguments} ended with {worker.returncode}")
    figures: dict[str, float] = json.loads(out.splitlines()[-1])
    return figures
