"""The comparison itself: usage, charges, ledger and bill of one month, to the nano-dollar. Pure.

It shares the published price list with accounts and nothing else: cost, period and the operator's price in force
are computed here in their own way (`price_history`, `calendar`), so that one mistake cannot hide in both.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from penstock_schemas.records import (
    SYSTEM_TENANT,
    ListPrice,
    PriceListed,
    RecordUsage,
    UsageCharged,
    UsageQuarantined,
)
from penstock_services.audit.calendar import moment
from penstock_services.audit.price_history import LATEST, PriceHistory
from penstock_services.pricing.published import PublishedPrices
from penstock_services.topic_reader import Read

Key = tuple[str, str]
"""(tenant_id, usage_id)."""
Coordinates = tuple[str, int, int]


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
    lines: Iterable[Read]
    """UsageCharged, UsageQuarantined and PriceListed, in order within a partition."""
    listings: Iterable[ListPrice] = ()
    """Every copy of every one."""


def recount(
    month: str,
    sources: Sources,
    ledger: Iterable[LedgerLine],
    bills: Mapping[str, int],
    published: PublishedPrices,
) -> Findings:
    """Compare every source of `month` (`YYYY-MM`) with its neighbour.

    Args:
        ledger: the month's ledger rows.
        bills: the month's billed nano-USD by tenant.
        published: the list accounts charges with where the operator listed nothing.
    """
    findings = Findings(month)
    copies: dict[Key, dict[Coordinates, Read]] = defaultdict(dict)
    for read in sources.usage:
        assert isinstance(read.record, RecordUsage)
        key = (read.record.tenant_id, read.record.usage_id)
        copies[key][read.topic, read.partition, read.offset] = read
    lines: dict[Key, list[Read]] = defaultdict(list)
    answers: list[Read] = []
    for read in sources.lines:
        if isinstance(read.record, PriceListed):
            answers.append(read)
            continue
        assert isinstance(read.record, UsageCharged | UsageQuarantined)
        lines[read.record.tenant_id, read.record.usage_id].append(read)
    history = PriceHistory(published, sources.listings, answers)
    for wrong in history.wrong:
        what = f"{wrong.price_version} is in force as no ListPrice on Kafka asked for it"
        findings.differences.append(Difference(SYSTEM_TENANT, "", what))

    charges: dict[str, UsageCharged] = {}
    for key in sorted(copies.keys() | lines.keys()):
        if charge := _compare_call(key, copies.get(key, {}), lines.get(key, []), history, findings):
            charges[charge.event_id] = charge
    _compare_ledger(charges, ledger, findings)
    _compare_bills(charges.values(), bills, findings)
    return findings


def _compare_call(
    key: Key,
    copies: Mapping[Coordinates, Read],
    lines: list[Read],
    history: PriceHistory,
    findings: Findings,
) -> UsageCharged | None:
    """One call: exactly one line, made from a copy that exists, at the right price, in the right month.

    A line of quarantine for want of a price may come before the charge.
    """

    def differ(what: str, expected: int | None = None, found: int | None = None) -> None:
        findings.differences.append(Difference(*key, what, expected, found))

    if not lines:
        first = min(copies.values(), key=lambda read: read.timestamp)
        if f"{moment(first):%Y-%m}" == findings.month:
            findings.usage_records += 1
            cost = history.expected(_usage(first), moment(first), first.partition, LATEST).nanousd
            findings.usage_nanousd += cost or 0
            differ("usage was neither charged nor quarantined", cost, None)
        return None
    if len(lines) == 2 and _waited(lines[0].record) and isinstance(lines[1].record, UsageCharged):
        lines = lines[1:]
    line = lines[0].record
    assert isinstance(line, UsageCharged | UsageQuarantined)
    if line.period != findings.month:
        return None
    if len(lines) > 1:
        differ(f"usage has {len(lines)} lines instead of one")
    source = copies.get((line.usage_topic, line.usage_partition, line.usage_offset))
    if source is None:
        differ("the line names coordinates that hold no such usage", None, getattr(line, "cost_nanousd", None))
        return line if isinstance(line, UsageCharged) else None
    findings.usage_records += 1
    usage, at = _usage(source), moment(source)
    if (period := f"{at:%Y-%m}") != line.period:
        differ(f"accounted in {line.period}, belongs to {period}")
    if isinstance(line, UsageQuarantined):
        findings.quarantined += 1
        if _waited(line) and history.operators(usage.model, at, lines[0].partition)[1]:
            expected = history.expected(usage, at, lines[0].partition, LATEST)
            differ(f"waits for a price, though {expected.version} is listed", expected.nanousd, None)
        return None
    expected = history.expected(usage, at, lines[0].partition, lines[0].offset, line.price_version)
    findings.charged_lines += 1
    findings.usage_nanousd += expected.nanousd or 0
    findings.charged_nanousd += line.cost_nanousd
    if expected.nanousd != line.cost_nanousd:
        names = f"{line.price_version}, expected {expected.version or 'no price'}"
        differ(f"charged at another amount than its tokens cost ({names})", expected.nanousd, line.cost_nanousd)
    return line


def _waited(line: object) -> bool:
    return isinstance(line, UsageQuarantined) and line.reason == "unknown_model"


def _usage(read: Read) -> RecordUsage:
    assert isinstance(read.record, RecordUsage)
    return read.record


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
