"""One race, and its control: the same load where whoever sends decides, by asking first."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from uuid import uuid4

from aiokafka import AIOKafkaProducer

from penstock.settings import KafkaSettings
from penstock_schemas import records as r
from penstock_schemas.codec import Codec
from penstock_schemas.registry import SchemaRegistry
from penstock_schemas.topics import ACCOUNTS_COMMANDS, ACCOUNTS_REQUESTS, Topic
from tests.budget_race.answers import Answers, listening
from tests.budget_race.load import FITTING, PRODUCERS, REQUESTS, Load, load_of


@dataclass(frozen=True)
class Outcome:
    """What became of one seed's load."""

    seed: int
    admitted: int
    overshoot_tokens: int
    """Reserved beyond the budget."""
    other_rejections: int
    """For another reason than the budget."""
    left: int | None
    """What accounts says is left, and should be: `rest`."""
    rest: int
    unguarded_admitted: int
    """By the control."""


def problem_with(outcome: Outcome) -> str | None:
    """Why a seed does not prove what it should."""
    if outcome.admitted != FITTING or outcome.overshoot_tokens:
        return f"admitted {outcome.admitted} of {FITTING}, {outcome.overshoot_tokens} tokens too many"
    if outcome.other_rejections:
        return f"{outcome.other_rejections} were rejected for another reason than the budget"
    if outcome.left != outcome.rest:
        return f"{outcome.left} tokens are left instead of {outcome.rest}"
    if outcome.unguarded_admitted <= FITTING:
        return f"the control admitted {outcome.unguarded_admitted}: it lost no race"
    return None


class Track:
    """Producers and answers on one stack, for any number of races.

    Args:
        queue: one that no worker serves: what is admitted stays reserved.
    """

    def __init__(self, producers: list[AIOKafkaProducer], answers: Answers, codec: Codec, queue: str) -> None:
        self._producers, self._answers, self._codec, self._queue = producers, answers, codec, queue
        self._rng = random.Random()

    async def race(self, seed: int) -> Outcome:
        """Race under a hard budget, then its control, then cancel what was admitted."""
        load = load_of(seed, f"race-{seed}-{uuid4().hex[:8]}", self._queue)
        await self._configure(load, hard=True)
        await self._run(load, lambda producer, burst: self._submit(producer, burst))
        decided = self._answers.admitted[load.tenant], self._answers.rejected[load.tenant]
        await self._answers.until(lambda: len(decided[0]) + len(decided[1]) == REQUESTS)
        left = (await self._check(self._producers[0], load)).tokens_left
        unguarded = await self._control(seed)
        await self._cancel(load)
        return Outcome(
            seed=seed,
            admitted=len(decided[0]),
            overshoot_tokens=max(0, len(decided[0]) * load.reserve - load.limit),
            other_rejections=sum(reason != "budget_exceeded" for reason in decided[1].values()),
            left=left,
            rest=load.rest,
            unguarded_admitted=unguarded,
        )

    async def _control(self, seed: int) -> int:
        """How many check-then-act admits: each producer asks, and sends what it was told fits."""
        load = load_of(seed, f"control-{seed}-{uuid4().hex[:8]}", self._queue)
        await self._configure(load, hard=False)
        sent = 0

        async def ask_and_submit(producer: AIOKafkaProducer, burst: list[r.RequestExecution]) -> None:
            nonlocal sent
            for request, checked in zip(
                burst, await asyncio.gather(*(self._check(producer, load) for _ in burst)), strict=True
            ):
                assert checked.tokens_left is not None
                if checked.tokens_left >= load.reserve:
                    await self._submit(producer, [request])
                    sent += 1

        await self._run(load, ask_and_submit)
        await self._answers.until(lambda: len(self._answers.admitted[load.tenant]) == sent)
        await self._cancel(load)
        return sent

    async def _run(
        self, load: Load, act: Callable[[AIOKafkaProducer, list[r.RequestExecution]], Awaitable[None]]
    ) -> None:
        async def produce(producer: AIOKafkaProducer, bursts: list[list[r.RequestExecution]]) -> None:
            for burst in bursts:
                await act(producer, burst)

        await asyncio.gather(*map(produce, self._producers, load.shares))

    async def _submit(self, producer: AIOKafkaProducer, burst: list[r.RequestExecution]) -> None:
        await asyncio.gather(*(self._send(producer, ACCOUNTS_REQUESTS, request) for request in burst))

    async def _check(self, producer: AIOKafkaProducer, load: Load) -> r.BudgetChecked:
        question = r.CheckBudget(event_id=str(uuid4()), tenant_id=load.tenant, tokens=load.reserve)
        answer = self._answers.answer_to(question.event_id)
        await self._send(producer, ACCOUNTS_REQUESTS, question)
        checked = await answer
        assert isinstance(checked, r.BudgetChecked)
        return checked

    async def _configure(self, load: Load, *, hard: bool) -> None:
        command = r.ConfigureTenant(
            event_id=str(uuid4()),
            tenant_id=load.tenant,
            tier="enterprise",
            concurrency=load.concurrency,
            monthly_tokens=load.limit,
            hard_budget=hard,
        )
        configured = self._answers.answer_to(load.tenant)
        await self._send(self._producers[0], ACCOUNTS_COMMANDS, command)
        await configured

    async def _cancel(self, load: Load) -> None:
        """Cancel whatever was admitted, and wait until it has ended: nothing of a race is left behind."""
        admitted = self._answers.admitted[load.tenant]
        for execution_id in admitted:
            cancel = r.CancelExecution(
                event_id=str(uuid4()), tenant_id=load.tenant, execution_id=execution_id, reason="race over"
            )
            await self._send(self._producers[0], ACCOUNTS_REQUESTS, cancel)
        await self._answers.until(lambda: self._answers.ended[load.tenant] == admitted)

    async def _send(self, producer: AIOKafkaProducer, topic: Topic, record: r.Record) -> None:
        """To any partition: Penstock routes by the value."""
        value = self._codec.encode(
            topic.name, record, event_id=record.event_id, occurred_at=time.time_ns() // 1000
        )
        partitions = sorted(await producer.partitions_for(topic.name))
        await producer.send_and_wait(topic.name, value, partition=self._rng.choice(partitions))


@asynccontextmanager
async def track(kafka: KafkaSettings, registry_url: str, queue: str) -> AsyncIterator[Track]:
    """Eight producers, of unlike patience, on a running stack."""
    async with SchemaRegistry(registry_url) as registry, AsyncExitStack() as open_:
        codec = Codec(registry)
        await codec.prepare_writers([ACCOUNTS_REQUESTS, ACCOUNTS_COMMANDS])
        producers = [
            await open_.enter_async_context(AIOKafkaProducer(**kafka.client_options(), linger_ms=number))
            for number in range(PRODUCERS)
        ]
        async with listening(kafka, codec) as answers:
            yield Track(producers, answers, codec, queue)
