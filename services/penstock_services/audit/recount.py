"""The comparison itself: usage, charges, ledger and bill of one month, to the nano-dollar. Pure.

It shares the price list with accounts and nothing else: cost and period are computed here in their own way
(decimals and calendar arithmetic), so that one mistake cannot hide in both.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal, localcontext

from penstock_schemas.records import RecordUsage, UsageCharged, UsageQuarantined
from penstock_services.pricing import Price
from penstock_services.topic_reader import Read

Key = tuple[str, str]
"""(tenant_id, usage_id)."""
Coordinates = tuple[str, int, int]
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class LedgerLine:
    """One row of the ledger in ClickHouse."""

    tenant_id: str
    usage_id: str
    line_id: str
    cost_nanousd: int


@dataclass(frozen=True, slots=True)
class Difference:
    """One disagreement between two sources. Amounts in nano-USD."""

    tenant_id: str
    usage_id: str
    what: str
    expected_nanousd: int | None = None
    found_nanousd: int | None = None


@dataclass
class Findings:
    """The outcome of an audit of one month."""

    month: str
    usage_records: int = 0
    charged_lines: int = 0
    ledger_lines: int = 0
    quarantined: int = 0
    usage_nanousd: int = 0
    """Recounted from RecordUsage with this module's own arithmetic."""
    charged_nanousd: int = 0
    ledger_nanousd: int = 0
    billed_nanousd: int = 0
    differences: list[Difference] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Sources:
    """What was read, for all months."""

    usage: Iterable[Read]
    """RecordUsage, every copy of it: a forwarded record lies on Kafka twice."""
    lines: Iterable[UsageCharged | UsageQuarantined]


def recount(
    month: str,
    sources: Sources,
    ledger: Iterable[LedgerLine],
    bills: Mapping[str, int],
    prices: Mapping[str, Price],
) -> Findings:
    """Compare every source of `month` (`YYYY-MM`) with its neighbour.

    Args:
        ledger: the month's ledger rows.
        bills: the month's billed nano-USD by tenant.
        prices: the list accounts charged with.
    """
    findings = Findings(month)
    copies: dict[Key, dict[Coordinates, Read]] = defaultdict(dict)
    for read in sources.usage:
        assert isinstance(read.record, RecordUsage)
        key = (read.record.tenant_id, read.record.usage_id)
        copies[key][read.topic, read.partition, read.offset] = read
    lines: dict[Key, list[UsageCharged | UsageQuarantined]] = defaultdict(list)
    for line in sources.lines:
        lines[line.tenant_id, line.usage_id].append(line)

    charges: dict[str, UsageCharged] = {}
    for key in sorted(copies.keys() | lines.keys()):
        if charge := _compare_call(key, copies.get(key, {}), lines.get(key, []), prices, findings):
            charges[charge.event_id] = charge
    _compare_ledger(charges, ledger, findings)
    _compare_bills(charges.values(), bills, findings)
    return findings


def _compare_call(
    key: Key,
    copies: Mapping[Coordinates, Read],
    lines: list[UsageCharged | UsageQuarantined],
    prices: Mapping[str, Price],
    findings: Findings,
) -> UsageCharged | None:
    """One call: exactly one line, made from a copy that exists, at the right price, in the right month."""

    def differ(what: str, expected: int | None = None, found: int | None = None) -> None:
        findings.differences.append(Difference(*key, what, expected, found))

    if not lines:
        first = min(copies.values(), key=lambda read: read.timestamp)
        if _period(first) == findings.month:
            findings.usage_records += 1
            cost = _cost(first.record, prices)
            findings.usage_nanousd += cost or 0
            differ("usage was neither charged nor quarantined", cost, None)
        return None
    line = lines[0]
    if line.period != findings.month:
        return None
    if len(lines) > 1:
        differ(f"usage has {len(lines)} lines instead of one")
    source = copies.get((line.usage_topic, line.usage_partition, line.usage_offset))
    if source is None:
        differ("the line names coordinates that hold no such usage", None, getattr(line, "cost_nanousd", None))
        return line if isinstance(line, UsageCharged) else None
    findings.usage_records += 1
    if (period := _period(source)) != line.period:
        differ(f"accounted in {line.period}, belongs to {period}")
    if isinstance(line, UsageQuarantined):
        findings.quarantined += 1
        return None
    expected = _cost(source.record, prices)
    findings.charged_lines += 1
    findings.usage_nanousd += expected or 0
    findings.charged_nanousd += line.cost_nanousd
    if expected != line.cost_nanousd:
        differ("charged at another amount than its tokens cost", expected, line.cost_nanousd)
    return line


def _compare_ledger(charges: Mapping[str, UsageCharged], ledger: Iterable[LedgerLine], findings: Findings) -> None:
    missing = dict(charges)
    for row in ledger:
        findings.ledger_lines += 1
        findings.ledger_nanousd += row.cost_nanousd
        charge = missing.pop(row.line_id, None)
        key = (row.tenant_id, row.usage_id)
        if charge is None:
            what = "ledger row without a charge on Kafka, or twice"
            findings.differences.append(Difference(*key, what, None, row.cost_nanousd))
        elif charge.cost_nanousd != row.cost_nanousd or (charge.tenant_id, charge.usage_id) != key:
            what = "ledger row differs from its charge"
            findings.differences.append(Difference(*key, what, charge.cost_nanousd, row.cost_nanousd))
    for charge in missing.values():
        what = "charge is missing from the ledger"
        difference = Difference(charge.tenant_id, charge.usage_id, what, charge.cost_nanousd, None)
        findings.differences.append(difference)


def _compare_bills(charges: Iterable[UsageCharged], bills: Mapping[str, int], findings: Findings) -> None:
    expected: dict[str, int] = defaultdict(int)
    for charge in charges:
        expected[charge.tenant_id] += charge.cost_nanousd
    for tenant_id in sorted(expected.keys() | bills.keys()):
        found = bills.get(tenant_id, 0)
        findings.billed_nanousd += found
        if found != expected[tenant_id]:
            what = "the bill differs from the sum of the charges"
            findings.differences.append(Difference(tenant_id, "", what, expected[tenant_id], found))


def _cost(usage: object, prices: Mapping[str, Price]) -> int | None:
    """Nano-USD by decimal arithmetic; None where there is no price."""
    assert isinstance(usage, RecordUsage)
    price: Price | None = prices.get(usage.model)
    if price is None:
        return None
    with localcontext(prec=60):
        exact = (
            Decimal(usage.input_tokens) * price.input_nanousd_per_mtok
            + Decimal(usage.cache_read_tokens) * price.cache_read_nanousd_per_mtok
            + Decimal(usage.cache_write_tokens) * price.cache_write_nanousd_per_mtok
            + Decimal(usage.output_tokens) * price.output_nanousd_per_mtok
        ) / 1_000_000
        return int(exact.to_integral_value(ROUND_HALF_EVEN))


def _period(read: Read) -> str:
    """The month a call belongs to: when it happened, if that is within 48 h before or 5 min after arrival."""
    received = EPOCH + timedelta(microseconds=read.timestamp)
    occurred = EPOCH + timedelta(microseconds=read.record.occurred_at)
    credible = received - timedelta(hours=48) <= occurred <= received + timedelta(minutes=5)
    return (occurred if credible else received).strftime("%Y-%m")
