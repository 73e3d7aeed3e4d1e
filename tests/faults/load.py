"""A load with a known truth: executions, conversations and pipelines, and what each must have become."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import penstock
from penstock.errors import Unreachable
from penstock_schemas.routing import partition_for
from tests.faults.agents import STEPPING
from tests.faults.conversations import Conversation, nth_conversation
from tests.faults.pipelines import Pipeline, nth_pipeline
from tests.faults.wanted import MAX_ATTEMPTS, Wanted

PACE_S = 0.5
"""Between two requests. With all three paces together one worker alone keeps up, so that recovery shows the
platform and not a backlog."""
PACE_OF_CONVERSATIONS_S = 3.0
PACE_OF_PIPELINES_S = 5.0
TENANTS_PER_PARTITION = 2


@dataclass(slots=True)
class Load:
    """Submits one execution after the other at a steady pace, and beside them begins conversations and pipelines.

    Args:
        client: whose platform is under load.
        tag: in every tenant and request id; makes them this load's own.
        partitions: of accounts; there are tenants in each of them.
        chained: whether there are conversations and pipelines.
    """

    client: penstock.Client
    tag: str
    partitions: int
    chained: bool
    wanted: list[Wanted] = field(default_factory=list)
    """Every execution, also those of turns and stages."""
    conversations: list[Conversation] = field(default_factory=list)
    pipelines: list[Pipeline] = field(default_factory=list)
    submitted_s: dict[str, float] = field(default_factory=dict)
    """When Kafka acknowledged each request, by execution, but for turns and stages; seconds since the epoch."""

    @asynccontextmanager
    async def flowing(self) -> AsyncIterator[None]:
        """Submit while the body runs; leaving waits until every request is acknowledged."""
        tenants = tenants_of(self.tag, self.partitions)
        submitting: list[asyncio.Task[None]] = []

        async def flow(pace_s: float, begin: Callable[[int], Coroutine[None, None, None]]) -> None:
            for number in itertools.count():
                submitting.append(asyncio.create_task(begin(number)))
                await asyncio.sleep(pace_s)

        def execution(number: int) -> Coroutine[None, None, None]:
            self.wanted.append(wanted := nth(self.tag, tenants, number))
            return self._submit(wanted)

        def conversation(number: int) -> Coroutine[None, None, None]:
            self.conversations.append(begun := nth_conversation(self.tag, tenants, number))
            self.wanted += begun.executions()
            return begun.hold(self.client)

        def pipeline(number: int) -> Coroutine[None, None, None]:
            self.pipelines.append(begun := nth_pipeline(self.tag, tenants, number))
            self.wanted += begun.executions()
            return begun.start(self.client)

        flows = [flow(PACE_S, execution)]
        if self.chained:
            flows += [flow(PACE_OF_CONVERSATIONS_S, conversation), flow(PACE_OF_PIPELINES_S, pipeline)]
        flowing = [asyncio.create_task(each) for each in flows]
        try:
            yield
            for task in flowing:
                task.cancel()
            await asyncio.wait(flowing)
            await asyncio.gather(*submitting)
        finally:
            for task in (*flowing, *submitting):
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
