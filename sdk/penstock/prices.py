"""Listing prices, and waiting until every partition of accounts has them in force."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing
from uuid import uuid4

from aiokafka import TopicPartition

from penstock.answers import CONFIRMED_WITHIN_S, Answers
from penstock.broadcasting import Broadcasting
from penstock.errors import InvalidInput, NotConfirmed, PriceRejected
from penstock.models import Price, moment_of
from penstock.money_arguments import PriceArguments
from penstock.submitting import now_us
from penstock_schemas import records as r
from penstock_schemas.prices import AMOUNTS, MAX_PRICES_AT_ONCE
from penstock_schemas.topics import ACCOUNTS_COMMANDS


class Prices:
    """Operator's commands about prices."""

    def __init__(self, answers: Answers, broadcasting: Broadcasting) -> None:
        self._answers = answers
        self._broadcasting = broadcasting

    async def list(self, wanted: Sequence[PriceArguments]) -> Sequence[Price]:
        """List all of `wanted`, or none; returns them as they are in force, in the order given.

        1. The end of every event partition is captured. A crash after this leaves nothing.
        2. The command is written to every partition at once. A crash after this leaves the prices listed and
           nobody told; the same command again changes nothing.
        3. The answers of every partition after 1 are awaited.

        Raises:
            InvalidInput: none, or more than 1,000.
            PriceRejected: accounts refused one, and with it all.
            CommandInterrupted: another operator's command came in between; nothing was written.
            NotConfirmed: not every partition has answered in time.
        """
        if not 1 <= len(wanted) <= MAX_PRICES_AT_ONCE:
            raise InvalidInput(
                f"prices: from 1 to {MAX_PRICES_AT_ONCE:,} can be listed at once, not {len(wanted):,}"
            )
        command = r.ListPrice(
            event_id=str(uuid4()),
            tenant_id=r.SYSTEM_TENANT,
            occurred_at=now_us(),
            partition=0,
            prices=[price.listed() for price in wanted],
        )
        ends = await self._answers.ends()
        await self._broadcasting.write(ACCOUNTS_COMMANDS, [command])
        listed = await self._listed(command, ends)
        return [listed[price.model, price.effective_from] for price in command.prices]

    async def _listed(self, command: r.ListPrice, ends: dict[TopicPartition, int]) -> dict[tuple[str, int], Price]:
        """What every partition listed; the first refusal is raised."""
        prices: dict[tuple[str, int], Price] = {}
        awaited = {(end.partition, price.model, price.effective_from) for end in ends for price in command.prices}
        async with aclosing(self._answers.after(ends)) as answers:
            async for answer in answers:
                match answer:
                    case r.PriceRefused(refused_event_id=command.event_id):
                        since = moment_of(answer.effective_from)
                        raise PriceRejected(answer.model, since, answer.reason, answer.detail)
                    case r.PriceListed(listed_by=command.event_id):
                        awaited.discard((answer.partition, answer.model, answer.effective_from))
                        prices[answer.model, answer.effective_from] = _price(answer)
                if not awaited:
                    return prices
        silent = sorted({partition for partition, _, _ in awaited})
        raise NotConfirmed(
            f"the prices are on Kafka, and accounts has not confirmed them in partitions {silent} within "
            f"{CONFIRMED_WITHIN_S:g} s; they take effect when the streams process runs (`penstock status`)"
        )


def _price(listed: r.PriceListed) -> Price:
    return Price(
        model=listed.model,
        version=listed.price_version,
        effective_from=moment_of(listed.effective_from),
        **{name: getattr(listed, name) for name in AMOUNTS},
    )
