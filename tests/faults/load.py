"""A load with a known truth: which executions there are, and what each must have become."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import penstock
from penstock.errors import Unreachable
from penstock_schemas.ids import execution_id
from penstock_schemas.routing import partition_for
from tests.faults.agents import STEPPING

PACE_S = 0.3
"""Between two requests: one worker alone keeps up, so that recovery shows the platform and not a backlog."""
MAX_ATTEMPTS = 10
"""The most a request may ask for: here no execution may fail because its workers were killed."""
TENANTS_PER_PARTITION = 2


@dataclass(frozen=True, slots=True)
class Wanted:
    """One execution: the request, and what must come of it."""

    tenant: str
    request_id: str
    agent: str
    input: str
    model: str
    output: str
    calls: int
    """Provider calls the accepted attempt is charged for."""
    last_seq: int
    """Progress records of the accepted attempt."""

    @property
    def execution_id(self) -> str:
        return execution_id(self.tenant, self.request_id)


@dataclass(slots=True)
class Load:
    """Submits one execution after the other at a steady pace.

    Args:
        client: whose platform is under load.
        tag: in every tenant and request id; makes them this load's own.
        partitions: of accounts; there are tenants in each of them.
    """

    client: penstock.Client
    tag: str
    partitions: int
    wanted: list[Wanted] = field(default_factory=list)
    submitted_s: dict[str, float] = field(default_factory=dict)
    """When Kafka acknowledged each request, by execution; seconds since the epoch."""

    @asynccontextmanager
    async def flowing(self) -> AsyncIterator[None]:
        """Submit while the body runs; leaving waits until every request is acknowledged."""
        tenants = tenants_of(self.tag, self.partitions)
        submitting: list[asyncio.Task[None]] = []

        async def flow() -> None:
            while True:
                wanted = nth(self.tag, tenants, len(self.wanted))
                self.wanted.append(wanted)
                submitting.append(asyncio.create_task(self._submit(wanted)))
                await asyncio.sleep(PACE_S)

        flowing = asyncio.create_task(flow())
        try:
            yield
            flowing.cancel()
            await asyncio.wait([flowing])
            await asyncio.gather(*submitting)
        finally:
            for task in (flowing, *submitting):
                task.cancel()

    async def _submit(self, wanted: Wanted) -> None:
        """In doubt it is submitted again under the same request id, which is answered once."""
        while True:
            try:
                await self.client.submit(
                    wanted.agent,
                    wanted.input,
                    tenant=wanted.tenant,
                    request_id=wanted.request_id,
                    model=wanted.model,
                    max_attempts=MAX_ATTEMPTS,
                )
            except Unreachable:
                continue
            self.submitted_s[wanted.execution_id] = time.time()
            return


def tenants_of(tag: str, partitions: int) -> list[str]:
    """Names that fall on every partition of accounts, `TENANTS_PER_PARTITION` on each."""
    found: dict[int, list[str]] = {number: [] for number in range(partitions)}
    number = 0
    while any(len(names) < TENANTS_PER_PARTITION for names in found.values()):
        name = f"{tag}-t{number}"
        number += 1
        if len(names := found[partition_for(name, partitions)]) < TENANTS_PER_PARTITION:
            names.append(name)
    return [name for names in found.values() for name in names]


def nth(tag: str, tenants: Sequence[str], number: int) -> Wanted:
    """The nth execution: every other one is an echo, the others run for 0.8 to 2.4 s."""
    tenant, request_id = tenants[number % len(tenants)], f"{tag}-{number}"
    # The tenants take turns, so agent and length must not depend on the number's lowest digit alone.
    turn = number // len(tenants)
    if (number + turn) % 2:
        text = f"execution {number} of {tag}"
        return Wanted(tenant, request_id, "echo", text, "claude-3-haiku", text, calls=1, last_seq=2)
    steps, step_s = 2 + number % 3, 0.4 + 0.1 * (turn % 3)
    text = json.dumps({"steps": steps, "step_s": step_s, "request": request_id})
    return Wanted(tenant, request_id, STEPPING, text, "gpt-4", f"stepped {text}", calls=steps, last_seq=2 * steps)
