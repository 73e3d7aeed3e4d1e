"""What the benchmarks share: a broker and a registry of their own, and measured work in a process of its own."""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from penstock_services.embedded.jars import java_servers
from penstock_services.embedded.java import find_java
from penstock_services.embedded.kafka import kafka_process
from penstock_services.embedded.ports import free_ports
from penstock_services.embedded.process import running
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
