"""What the operator listed, partition by partition, and which price a call should have had. Pure.

Selection and cost are computed here in their own way (search and decimals), from ListPrice as the operator wrote
it; PriceListed only says when a partition took it over. The published list is shared with accounts.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal, localcontext

from penstock_schemas.prices import AMOUNTS
from penstock_schemas.records import ListedPrice, ListPrice, PriceListed
from penstock_schemas.records.accounts import ProviderCall
from penstock_services.audit.calendar import EPOCH
from penstock_services.pricing import Price, Tier
from penstock_services.pricing.published import PublishedPrices
from penstock_services.topic_reader import Read

Rates = ListedPrice | Price
LATEST = 1 << 63
"""After every offset."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What a call should cost, and why."""

    nanousd: int | None
    """None where it has no price."""
    version: str = ""


class PriceHistory:
    """The prices of a month's audit.

    Args:
        commands: every copy of every ListPrice.
        answers: PriceListed, in order within a partition.
    """

    def __init__(self, published: PublishedPrices, commands: Iterable[ListPrice], answers: Iterable[Read]) -> None:
        self.wrong: list[PriceListed] = []
        """Answers that list what no command asked for."""
        self._published = published
        asked = {(c.event_id, p.model, p.effective_from): p for c in commands for p in c.prices}
        self._listed: dict[tuple[int, str], list[tuple[int, str, ListedPrice]]] = defaultdict(list)
        for read in answers:
            record = read.record
            assert isinstance(record, PriceListed)
            price = asked.get((record.listed_by, record.model, record.effective_from))
            if price is None or any(getattr(price, name) != getattr(record, name) for name in AMOUNTS):
                self.wrong.append(record)
            else:
                entry = (read.offset, record.price_version, price)
                self._listed[read.partition, record.model].append(entry)

    def expected(
        self, usage: ProviderCall, at: datetime, partition: int, before: int, named: str = ""
    ) -> Expected:
        """What `usage` costs at the price in force at `at`, as `partition` knew it before the offset `before`.

        Args:
            named: the price that the line names; one of another model counts where the usage has none of its own.
        """
        version, rates = self.operators(usage.model, at, partition, before)
        if rates is None and (price := self._published.at(usage.model, _us(at))):
            version, rates = price.version, price
        if rates is None and named.startswith("fallback/"):
            version, rates = named, self._by_version(named.removeprefix("fallback/"), at, partition, before)
        return Expected(None if rates is None else _cost(usage, rates), version)

    def operators(
        self, model: str, at: datetime, partition: int, before: int = LATEST
    ) -> tuple[str, Rates | None]:
        """Name and rates of the operator's price of `model`; the very name first, then the canonical one."""
        for name in dict.fromkeys((model, self._published.canonical(model))):
            known = [
                (EPOCH + timedelta(microseconds=price.effective_from), version, price)
                for offset, version, price in self._listed.get((partition, name), ())
                if offset < before
            ]
            if in_force := [entry for entry in known if entry[0] <= at]:
                _, version, price = max(in_force, key=lambda entry: entry[0])
                return version, price
        return "", None

    def _by_version(self, version: str, at: datetime, partition: int, before: int) -> Rates | None:
        for (of, _), entries in self._listed.items():
            for offset, name, price in entries:
                if of == partition and offset < before and name == version:
                    return price
        return next((price for price in self._published.all_at(_us(at)) if price.version == version), None)


def _cost(usage: ProviderCall, rates: Rates) -> int:
    """Nano-USD by decimal arithmetic."""
    with localcontext(prec=60):
        whole_input = usage.input_tokens + usage.cache_read_tokens + usage.cache_write_tokens
        tokens: Rates | Tier = rates
        for tier in rates.tiers if isinstance(rates, Price) else ():
            tokens = tier if whole_input > tier.above_input_tokens else tokens
        exact = (
            Decimal(usage.input_tokens) * tokens.input_nanousd_per_mtok
            + Decimal(usage.cache_read_tokens) * tokens.cache_read_nanousd_per_mtok
            + Decimal(usage.cache_write_tokens) * tokens.cache_write_nanousd_per_mtok
            + Decimal(usage.output_tokens) * tokens.output_nanousd_per_mtok
        ) / 1_000_000
        exact += Decimal(usage.tool_calls) * rates.tool_call_nanousd
        exact += Decimal(usage.sandbox_cpu_ms) / 1_000 * rates.cpu_second_nanousd
        exact += Decimal(usage.sandbox_gb_ms) / 1_000 * rates.gb_second_nanousd
        return int(exact.to_integral_value(ROUND_HALF_EVEN))


def _us(at: datetime) -> int:
    return (at - EPOCH) // timedelta(microseconds=1)
