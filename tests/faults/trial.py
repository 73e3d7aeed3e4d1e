"""The rounds of one fault in one world: the load flows, the fault strikes, everything settles, and is judged."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from penstock_schemas import records as r
from penstock_services.topic_reader import Read
from tests.faults.blows import Inject
from tests.faults.conversations import Conversation
from tests.faults.evidence import rows_of
from tests.faults.load import Load
from tests.faults.measures import Measures, measure
from tests.faults.pipelines import Pipeline
from tests.faults.verdict import Verdict, all_ended, judge, loaded_ids
from tests.faults.verdict_chains import chains_ended
from tests.faults.world import PARTITIONS, World

T = TypeVar("T")

SETTLE_S = 120.0
"""How long a load may take to end after its fault; only a violation reaches it."""
LOADED_S = 30.0
LOOK_EVERY_S = 0.5


@dataclass(frozen=True, slots=True)
class Struck:
    """Attempts that were taken away from their workers, or failed for them."""

    attempts: int
    of_turns: int
    of_stages: int


class Trial:
    """Play rounds, then read the verdict over all of them.

    Args:
        name: in every tenant and request id; new in this world.
        chained: whether its loads have conversations and pipelines.
        settle_s: how long a round waits for its load to end; what has not ended by then is lost.
    """

    def __init__(self, world: World, name: str, *, chained: bool, settle_s: float = SETTLE_S) -> None:
        self._world = world
        self._name = name
        self._chained = chained
        self._settle_s = settle_s
        self._loads: list[Load] = []
        self.measures = Measures()
        world.evidence.forget()

    async def play(self, inject: Inject, times: int) -> None:
        """One round."""
        world, first_mark = self._world, len(self._world.marks)
        async with world.client() as client:
            load = Load(client, f"{self._name}-r{len(self._loads)}", PARTITIONS, self._chained)
            self._loads.append(load)
            async with load.flowing():
                await inject(world, times)
        await self._reading_until(lambda: _ended(load, world.evidence.reads), self._settle_s)
        await self._until_loaded(load)
        self.measures.add(measure(world.evidence.reads, world.marks[first_mark:], load.submitted_s))

    async def verdict(self) -> Verdict:
        """Over everything played so far: what was right after a round may have been doubled since."""
        wanted = self._all(lambda load: load.wanted)
        await self._world.evidence.read_on()
        rows = await rows_of(self._world.clickhouse, sorted({each.tenant for each in wanted}))
        return judge(wanted, self._world.evidence.reads, rows, self._conversations, self._pipelines)

    @property
    def struck(self) -> Struck:
        """Whether the fault struck what it should."""
        turns = {each.execution_id for talk in self._conversations for each in talk.executions()}
        stages = {each.execution_id for pipeline in self._pipelines for each in pipeline.executions()}
        taken = [
            read.record.execution_id
            for read in self._world.evidence.reads
            if isinstance(read.record, r.AttemptLost | r.AttemptFailed)
        ]
        return Struck(len(taken), sum(each in turns for each in taken), sum(each in stages for each in taken))

    @property
    def _conversations(self) -> list[Conversation]:
        return self._all(lambda load: load.conversations)

    @property
    def _pipelines(self) -> list[Pipeline]:
        return self._all(lambda load: load.pipelines)

    def _all(self, what: Callable[[Load], Sequence[T]]) -> list[T]:
        return [each for load in self._loads for each in what(load)]

    async def _until_loaded(self, load: Load) -> None:
        tenants = sorted({wanted.tenant for wanted in load.wanted})

        async def loaded() -> bool:
            rows = await rows_of(self._world.clickhouse, tenants)
            return loaded_ids(load.wanted, self._world.evidence.reads) <= rows.keys()

        await self._reading_until(loaded, LOADED_S)

    async def _reading_until(
        self, holds: Callable[[], bool] | Callable[[], Awaitable[bool]], within_s: float
    ) -> None:
        """Read on until something holds; what does not by then is for the verdict to say."""
        ends = time.monotonic() + within_s
        while time.monotonic() < ends:
            await self._world.evidence.read_on()
            found = holds()
            if await found if isinstance(found, Awaitable) else found:
                return
            await asyncio.sleep(LOOK_EVERY_S)


def _ended(load: Load, reads: Sequence[Read]) -> bool:
    return all_ended(load.wanted, reads) and chains_ended(load.conversations, load.pipelines, reads)


async def audit(world: World) -> tuple[int, str]:
    """`penstock audit`; its exit code and what it said."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "penstock", "audit", "--wait", "30"),
        env=world.environment(world.broker.bootstrap),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    return await process.wait(), said.decode(errors="replace")
