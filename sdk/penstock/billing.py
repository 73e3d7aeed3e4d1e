"""Bills and summaries of spending, summed by ClickHouse in one pass over the ledger."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from penstock.money_arguments import BillArguments, SpendArguments
from penstock.reading import Reading, Row
from penstock.statements import AdjustedMonth, Bill, BillLine, Quarantined, Spend, SpendSummary, Unresolved, Wasted

DIMENSIONS = {"model": "model", "user": "user_id", "agent": "agent_type"}
"""What a statement is broken down by, and the ledger's column of it. One entry more is one section more."""
ORIGINS = {"pipeline": "pipeline_id", "conversation": "conversation_id"}
"""Likewise, for what only some lines have and there may be very many of."""
TOTAL = "total"
"""The section of the sums besides those of the dimensions."""
SUMS = ("input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens", "cost_nanousd")
TOKENS = " + ".join(SUMS[:-1])
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Scope:
    """What a statement is about, as conditions on each table, and their parameters."""

    charged: str
    """On ledger and quarantine."""
    wasted: str
    ended: str
    """On unresolved calls, by the end of their execution."""
    parameters: Mapping[str, Any]


class Billing:
    """Makes statements of what was loaded."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading

    async def bill(self, wanted: BillArguments) -> Bill:
        """A tenant's bill of one month; all zeros where nothing was charged."""
        whole_month = "formatDateTime(occurred_at, '%Y-%m') = {period:String}"
        of_period = "period = {period:String}"
        scope = _scope(wanted.tenant, wanted.user, of_period, of_period, whole_month, {"period": wanted.month})
        closed = await self._closed_at(wanted.month)
        summed = closed is not None and wanted.user is None and await self._is_summed(scope)
        sections = await self._sections(scope, wanted.dearest, summed=summed)
        return Bill(
            **sections, tenant_id=wanted.tenant, user_id=wanted.user, period=wanted.month, closed_at=closed
        )

    async def spend(self, wanted: SpendArguments) -> SpendSummary:
        """What was spent by calls made from `start` to before `end`."""
        within = " AND ".join(
            f"occurred_at {than} fromUnixTimestamp64Micro({{{name}:Int64}}, 'UTC')"
            for name, than in (("start_us", ">="), ("end_us", "<"))
        )
        moments = {"start_us": _us(wanted.start), "end_us": _us(wanted.end)}
        scope = _scope(wanted.tenant, wanted.user, within, within, within, moments)
        sections = await self._sections(scope, wanted.dearest)
        return SpendSummary(
            **sections, tenant_id=wanted.tenant, user_id=wanted.user, start=wanted.start, end=wanted.end
        )

    async def _sections(self, scope: Scope, dearest: int | None, *, summed: bool = False) -> dict[str, Any]:
        queries = (_marked(scope), _wasted(scope), _quarantined(scope), _unresolved(scope))
        charged, marked, (wasted,), quarantined, (unresolved,) = await asyncio.gather(
            self._charged(scope, dearest, summed=summed),
            *(self._reading.rows(query, scope.parameters) for query in queries),
        )
        lines_of: dict[str, list[Row]] = {section: [] for section in (TOTAL, *DIMENSIONS, *ORIGINS)}
        for row in charged:
            lines_of[row["section"]].append(row)
        return {
            "total": Spend.model_validate(lines_of[TOTAL][0] if lines_of[TOTAL] else {}),
            "by": {name: _dearest_first(lines_of[name]) for name in (*DIMENSIONS, *ORIGINS)},
            "more": {
                name: lines_of[name][0]["lines"] - len(lines_of[name]) if lines_of[name] else 0 for name in ORIGINS
            },
            "wasted": Wasted(
                tokens=wasted["tokens"] + sum(row["wasted_tokens"] for row in marked),
                cost_nanousd=wasted["cost_nanousd"] + sum(row["wasted_nanousd"] for row in marked),
            ),
            "adjustments": tuple(AdjustedMonth.model_validate(row) for row in marked if row["month"]),
            "quarantined": tuple(Quarantined.model_validate(row) for row in quarantined),
            "unresolved": Unresolved.model_validate(unresolved),
        }

    async def _charged(self, scope: Scope, dearest: int | None, *, summed: bool) -> list[Row]:
        """The sums; where no line has an origin, ClickHouse is spared to sort all lines by it."""
        if summed:
            sums = f"SELECT * FROM v_closed_bills WHERE {scope.charged}"
        else:
            (present,) = await self._reading.rows(_present(scope), scope.parameters)
            origins = {name: column for name, column in ORIGINS.items() if present[name]}
            sums = sums_by_section(f"FROM ledger AS l FINAL WHERE {scope.charged}", {**DIMENSIONS, **origins})
        return await self._reading.rows(_shown(sums, dearest), scope.parameters)

    async def _is_summed(self, scope: Scope) -> bool:
        """Whether all lines of a closed month, and none of them twice, are in what was summed up of it."""
        (lines,) = await self._reading.rows(_lines(scope), scope.parameters)
        return bool(lines["summed"] == lines["there"])

    async def _closed_at(self, month: str) -> datetime | None:
        query = "SELECT minOrNull(closed_at) AS closed_at FROM v_periods WHERE period >= {period:String}"
        (row,) = await self._reading.rows(query, {"period": month})  # closing a month closes those before
        closed_at: datetime | None = row["closed_at"]
        return closed_at


def _scope(
    tenant: str, user: str | None, charged: str, wasted: str, ended: str, parameters: Mapping[str, Any]
) -> Scope:
    whose = "tenant_id = {tenant:String}" + ("" if user is None else " AND user_id = {user:String}")
    return Scope(
        charged=f"{whose} AND {charged}",
        wasted=f"{whose} AND {wasted}",
        ended=f"{whose} AND {ended}",
        parameters={"tenant": tenant, "user": user, **parameters},
    )


def _present(scope: Scope) -> str:
    """Which origins any line has; reads next to nothing, however many lines there are."""
    found = "(SELECT count() FROM (SELECT 1 FROM ledger WHERE {} AND {} IS NOT NULL LIMIT 1)) AS {}"
    return "SELECT " + ", ".join(found.format(scope.charged, column, name) for name, column in ORIGINS.items())


def _lines(scope: Scope) -> str:
    """How many lines the ledger has, repeats included, and how many were summed up."""
    return f"""
        SELECT (SELECT count() FROM ledger WHERE {scope.charged}) AS there,
            (SELECT sum(lines) FROM v_closed_bills WHERE {scope.charged} AND section = '{TOTAL}') AS summed
    """


def sums_by_section(lines: str, sections: Mapping[str, str], whose: str = "") -> str:
    """SQL for all sums of each section in one pass, one row for each `section` and `name`.

    Args:
        lines: FROM and WHERE; the ledger is `l`.
        sections: the column that each is a breakdown by; the one of the total is added.
        whose: a column to keep apart; default none.
    """
    columns = sections.values()
    section = "".join(f"grouping({column}) = 0, '{name}', " for name, column in sections.items())
    value = "".join(f"grouping({column}) = 0, toNullable(toString({column})), " for column in columns)
    sums = ", ".join(f"sum(l.{column}) AS {column}" for column in SUMS)
    apart = f"{whose}, " if whose else ""
    sets = ", ".join((f"({whose})", *(f"({apart}{column})" for column in columns)))
    return f"""
        SELECT {apart}multiIf({section} '{TOTAL}') AS section, multiIf({value} NULL) AS name,
            countIf(record_type = 'UsageCharged') AS calls, {sums}, count() AS lines
        {lines} GROUP BY GROUPING SETS ({sets})
        HAVING section NOT IN {tuple(ORIGINS)} OR name IS NOT NULL
    """


def _shown(sums: str, dearest: int | None) -> str:
    """Of the pipelines and of the conversations at most `dearest`, and how many there are."""
    place = "row_number() OVER (PARTITION BY section ORDER BY s.cost_nanousd DESC, name)"
    return f"""
        SELECT s.* EXCEPT lines, count() OVER (PARTITION BY section) AS lines, {place} AS place
        FROM ({sums}) AS s
        {"" if dearest is None else f"QUALIFY section NOT IN {tuple(ORIGINS)} OR place <= {dearest}"}
    """


def _marked(scope: Scope) -> str:
    """Of the few lines that came late, correct one, or were wasted, by the month they adjust, empty for none.

    A repeat of a line is the same line, so any one of them will do: without FINAL, nothing else is read.
    """
    return f"""
        SELECT ifNull(if(corrects, ifNull(adjusts_period, period), adjusts_period), '') AS month,
            countIf(NOT corrects) AS late_calls, countIf(corrects) AS corrections,
            sum(l.cost_nanousd) AS cost_nanousd,
            sumIf({TOKENS}, wasted) AS wasted_tokens, sumIf(l.cost_nanousd, wasted) AS wasted_nanousd
        FROM (
            SELECT line_id, period, record_type = 'ChargeAdjusted' AS corrects, adjusts_period, wasted,
                {", ".join(SUMS)}
            FROM ledger WHERE {scope.charged} AND (wasted OR corrects OR adjusts_period IS NOT NULL)
            LIMIT 1 BY period, line_id
        ) AS l
        GROUP BY month ORDER BY month
    """


def _wasted(scope: Scope) -> str:
    """What was known to be wasted when its execution ended; what came later is marked on its line."""
    return f"""
        SELECT sum(wasted_tokens) AS tokens, sum(wasted_nanousd) AS cost_nanousd
        FROM accounts_events FINAL WHERE record_type = 'SpendWasted' AND {scope.wasted}
    """


def _quarantined(scope: Scope) -> str:
    """As v_usage_quarantined, looking only for what the statement is about: that many ids the index can find."""
    return f"""
        SELECT reason, uniqExact(usage_id) AS calls FROM usage_quarantine
        WHERE {scope.charged} AND usage_id NOT IN ({_charged_of("usage_quarantine", scope.charged)})
        GROUP BY reason ORDER BY reason
    """


def _unresolved(scope: Scope) -> str:
    """As v_usage_unresolved, likewise."""
    which = f"record_type = 'UsageUnresolved' AND {scope.ended}"
    return f"""
        SELECT count() AS calls, sum(reserved_tokens) AS reserved_tokens, sum(reserved_nanousd) AS reserved_nanousd
        FROM accounts_events FINAL
        WHERE {which} AND usage_id NOT IN ({_charged_of("accounts_events", which)})
            AND usage_id NOT IN (SELECT usage_id FROM usage_quarantine WHERE tenant_id = {{tenant:String}})
    """


def _charged_of(table: str, which: str) -> str:
    """The ids of calls in `table` that were charged by now, in whichever month."""
    asked_for = f"SELECT usage_id FROM {table} WHERE {which}"
    return f"SELECT usage_id FROM ledger WHERE tenant_id = {{tenant:String}} AND usage_id IN ({asked_for})"


def _dearest_first(rows: list[Row]) -> tuple[BillLine, ...]:
    lines = (BillLine.model_validate(row) for row in rows)
    return tuple(sorted(lines, key=lambda line: (-line.cost_nanousd, line.name or "")))


def _us(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(microseconds=1)
