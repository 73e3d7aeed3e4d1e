"""The comparison itself: usage, charges, ledger and bill of one month, to the nano-dollar. Pure.

It shares the published price list with accounts and nothing else: cost, period, closed months and the operator's
price in force are computed here in their own way (`price_history`, `closings`, `calendar`), so that one mistake
cannot hide in both.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from penstock_schemas.records import (
    SYSTEM_TENANT,
    ChargeAdjusted,
    ClosePeriod,
    CorrectionRefused,
    CorrectUsage,
    ListPrice,
    PeriodClosed,
    PriceListed,
    RecordUsage,
    UsageCharged,
    UsageQuarantined,
)
from penstock_services.audit.calls import Book, CallCheck, Coordinates
from penstock_services.audit.closings import Closings
from penstock_services.audit.findings import Difference, Findings, Key
from penstock_services.audit.origins import Origins, origin_in
from penstock_services.audit.price_history import PriceHistory
from penstock_services.pricing.published import PublishedPrices
from penstock_services.topic_reader import Read

REPORTS = (RecordUsage, CorrectUsage)
COMMANDS = (ListPrice, ClosePeriod)
LINES = (UsageCharged, ChargeAdjusted, UsageQuarantined)
ANSWERS = (PriceListed, PeriodClosed, CorrectionRefused)
Line = UsageCharged | ChargeAdjusted
PartKey = tuple[str, str, str]
"""(tenant_id, `pipeline` or `conversation`, its id)."""


@dataclass(frozen=True, slots=True)
class LedgerLine:
    """One row of the ledger in ClickHouse."""

    tenant_id: str
    usage_id: str
    line_id: str
    cost_nanousd: int
    pipeline_id: str | None = None
    conversation_id: str | None = None


@dataclass(frozen=True, slots=True)
class Sources:
    """What was read, for all months."""

    usage: Iterable[Read]
    """REPORTS and COMMANDS, every copy of each: a forwarded record lies on Kafka twice."""
    lines: Iterable[Read]
    """LINES and ANSWERS, in order within a partition."""
    requests: Iterable[Read] = ()
    """RequestExecution, likewise every copy."""


def recount(
    month: str,
    sources: Sources,
    ledger: Iterable[LedgerLine],
    bills: Mapping[str, int],
    parts: Mapping[PartKey, int],
    published: PublishedPrices,
) -> Findings:
    """Compare every source of `month` (`YYYY-MM`) with its neighbour.

    Args:
        ledger: the month's ledger rows.
        bills: the month's billed nano-USD by tenant.
        parts: what of them is for each pipeline and each conversation.
        published: the list accounts charges with where the operator listed nothing.
    """
    findings = Findings(month)
    usage, events = list(sources.usage), list(sources.lines)
    reports: dict[Key, dict[Coordinates, Read]] = defaultdict(dict)
    for read in usage:
        if isinstance(read.record, REPORTS):
            key = (read.record.tenant_id, read.record.usage_id)
            reports[key][read.topic, read.partition, read.offset] = read
    lines: dict[Key, list[Read]] = defaultdict(list)
    for read in events:
        if isinstance(read.record, LINES):
            lines[read.record.tenant_id, read.record.usage_id].append(read)
    book = _book(usage, events, Origins(sources.requests), published, findings)
    refused = {read.record.refused_event_id for read in events if isinstance(read.record, CorrectionRefused)}

    charges: dict[str, Line] = {}
    for key in sorted(reports.keys() | lines.keys()):
        for line in CallCheck(key, reports.get(key, {}), book, refused, findings).lines(lines.get(key, [])):
            charges[line.event_id] = line
    _compare_ledger(charges, ledger, findings)
    _compare_bills(charges.values(), bills, findings)
    _compare_parts(charges.values(), parts, findings)
    return findings


def _book(
    usage: Iterable[Read],
    events: Iterable[Read],
    origins: Origins,
    published: PublishedPrices,
    findings: Findings,
) -> Book:
    prices = PriceHistory(
        published,
        [read.record for read in usage if isinstance(read.record, ListPrice)],
        [read for read in events if isinstance(read.record, PriceListed)],
    )
    closings = Closings(
        [read.record for read in usage if isinstance(read.record, ClosePeriod)],
        [read for read in events if isinstance(read.record, PeriodClosed)],
    )
    for price in prices.wrong:
        what = f"{price.price_version} is in force as no ListPrice on Kafka asked for it"
        findings.differences.append(Difference(SYSTEM_TENANT, "", what))
    for closed in closings.wrong:
        what = f"{closed.period} is closed as no ClosePeriod on Kafka asked for it after its end"
        findings.differences.append(Difference(SYSTEM_TENANT, "", what))
    return Book(prices, closings, origins)


def _compare_ledger(charges: Mapping[str, Line], ledger: Iterable[LedgerLine], findings: Findings) -> None:
    missing = dict(charges)
    for row in ledger:
        findings.ledger_lines += 1
        findings.ledger_nanousd += row.cost_nanousd
        charge = missing.pop(row.line_id, None)
        key = (row.tenant_id, row.usage_id)
        if charge is None:
            what = "ledger row without a charge on Kafka, or twice"
            findings.differences.append(Difference(*key, what, None, row.cost_nanousd))
        elif _differs(row, charge):
            what = "ledger row differs from its charge"
            findings.differences.append(Difference(*key, what, charge.cost_nanousd, row.cost_nanousd))
    for charge in missing.values():
        what = "charge is missing from the ledger"
        difference = Difference(charge.tenant_id, charge.usage_id, what, charge.cost_nanousd, None)
        findings.differences.append(difference)


def _differs(row: LedgerLine, charge: Line) -> bool:
    of_row = (row.tenant_id, row.usage_id, row.cost_nanousd, row.pipeline_id, row.conversation_id)
    return of_row != (charge.tenant_id, charge.usage_id, charge.cost_nanousd, *origin_in(charge))


def _compare_bills(charges: Iterable[Line], bills: Mapping[str, int], findings: Findings) -> None:
    expected: dict[str, int] = defaultdict(int)
    for charge in charges:
        expected[charge.tenant_id] += charge.cost_nanousd
    for tenant_id in sorted(expected.keys() | bills.keys()):
        found = bills.get(tenant_id, 0)
        findings.billed_nanousd += found
        if found != expected[tenant_id]:
            what = "the bill differs from the sum of the charges"
            findings.differences.append(Difference(tenant_id, "", what, expected[tenant_id], found))


def _compare_parts(charges: Iterable[Line], parts: Mapping[PartKey, int], findings: Findings) -> None:
    expected: dict[PartKey, int] = defaultdict(int)
    for charge in charges:
        if charge.pipeline_id is not None:
            expected[charge.tenant_id, "pipeline", charge.pipeline_id] += charge.cost_nanousd
        if charge.conversation_id is not None:
            expected[charge.tenant_id, "conversation", charge.conversation_id] += charge.cost_nanousd
    for key in sorted(expected.keys() | parts.keys()):
        tenant_id, kind, name = key
        if (found := parts.get(key)) != expected.get(key):
            what = f"the bill of {kind} {name} differs from the sum of its charges"
            findings.differences.append(Difference(tenant_id, "", what, expected.get(key), found))
