"""Bills and summaries of spending, from ledger rows as the loader writes them; ClickHouse is real."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from secrets import token_hex
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from penstock.client import Client
from penstock.errors import InvalidInput
from penstock.settings import ClickHouseSettings
from penstock.statements import AdjustedMonth, Bill, Quarantined, Spend, Statement, Unresolved, Wasted
from penstock_services.clickhouse import connect, migrate
from penstock_services.clickhouse.summing import sum_up

pytestmark = pytest.mark.integration
NUMBERS = count()
NOVEMBER = datetime(2026, 11, 10, 12, tzinfo=UTC)
DAY = timedelta(days=1)
SUMMED = "2025-02"
"""A month that no other test charges in."""


@dataclass
class Line:
    """One row of the ledger."""

    cost_nanousd: int = 1
    model: str = "gpt-4"
    user_id: str | None = "ann"
    agent_type: str | None = "echo"
    record_type: str = "UsageCharged"
    period: str = "2026-11"
    adjusts_period: str | None = None
    occurred_at: datetime = NOVEMBER
    input_tokens: int = 10
    cache_read_tokens: int = 3
    cache_write_tokens: int = 2
    output_tokens: int = 1
    wasted: bool = False
    usage_id: str = ""
    pipeline_id: str | None = None
    conversation_id: str | None = None


class Books:
    """Writes rows of one tenant."""

    def __init__(self, clickhouse: Any, tenant: str) -> None:
        self._clickhouse = clickhouse
        self.tenant = tenant

    def charge(self, *lines: Line) -> None:
        self._insert("ledger", [asdict(line) | {"line_id": self._id()} for line in lines])

    def charge_twice(self, line: Line) -> None:
        """As a replay does."""
        row = asdict(line) | {"line_id": self._id()}
        for _ in range(2):
            self._insert("ledger", [row])

    def event(self, record_type: str, at: datetime = NOVEMBER, **fields: Any) -> None:
        row = {"event_id": self._id(), "record_type": record_type, "occurred_at": at, "kafka_timestamp": at}
        self._insert("accounts_events", [row | fields])

    def quarantine(self, usage_id: str, reason: str, user: str | None = "ann") -> None:
        named = {"event_id": self._id(), "usage_id": usage_id, "user_id": user, "reason": reason}
        self._insert("usage_quarantine", [named | {"period": "2026-11", "occurred_at": NOVEMBER}])

    def _insert(self, table: str, rows: list[dict[str, Any]]) -> None:
        if rows:
            columns = ["tenant_id", *rows[0]]
            self._clickhouse.insert(table, [[self.tenant, *row.values()] for row in rows], column_names=columns)

    def _id(self) -> str:
        return f"{next(NUMBERS):08}"


@pytest.fixture(scope="module")
def database(clickhouse: ClickHouseSettings) -> Iterator[ClickHouseSettings]:
    settings = clickhouse.model_copy(update={"database": f"bills_{token_hex(6)}"})
    migrate(settings)
    yield settings
    with connect(settings) as client:
        client.command(f"DROP DATABASE {settings.database}")


@pytest.fixture(scope="module")
def clickhouse_client(database: ClickHouseSettings) -> Iterator[Any]:
    with connect(database) as client:
        yield client


@pytest.fixture
def books(clickhouse_client: Any) -> Books:
    """Of a tenant that no other test has."""
    return Books(clickhouse_client, f"tenant-{token_hex(4)}")


@pytest.fixture
async def client(database: ClickHouseSettings) -> AsyncIterator[Client]:
    async with Client(clickhouse=database) as client:
        yield client


async def test_a_bill_breaks_the_month_down_by_model_user_and_agent_the_dearest_first(
    books: Books, client: Client
):
    books.charge(
        Line(1_000, model="gpt-4", user_id="ann", agent_type="echo"),
        Line(5_000, model="claude-3-opus", user_id="bob", agent_type="echo"),
        Line(500, model="gpt-4", user_id=None, agent_type=None),
        Line(9_999, period="2026-10"),
    )
    bill = await client.bill(books.tenant, "2026-11")
    shown = {
        name: [(line.name, line.calls, line.cost_nanousd) for line in lines] for name, lines in bill.by.items()
    }
    assert shown == {
        "model": [("claude-3-opus", 1, 5_000), ("gpt-4", 2, 1_500)],
        "user": [("bob", 1, 5_000), ("ann", 1, 1_000), (None, 1, 500)],
        "agent": [("echo", 2, 6_000), (None, 1, 500)],
        "pipeline": [],
        "conversation": [],
    }
    assert bill.more == {"pipeline": 0, "conversation": 0}
    assert bill.total == Spend(
        calls=3,
        input_tokens=30,
        cache_read_tokens=9,
        cache_write_tokens=6,
        output_tokens=3,
        cost_nanousd=6_500,
    )


async def test_a_bill_names_what_pipelines_and_conversations_cost_the_dearest_first(books: Books, client: Client):
    books.charge(
        Line(10, pipeline_id="p1"),
        Line(5, pipeline_id="p1"),
        Line(20, pipeline_id="p2", user_id="bob"),
        Line(-3, pipeline_id="p1", record_type="ChargeAdjusted"),
        Line(7, conversation_id="c1"),
        Line(7, conversation_id="c0"),
        Line(1_000),
    )
    bill = await client.bill(books.tenant, "2026-11")
    shown = {
        name: [(line.name, line.calls, line.cost_nanousd) for line in bill.by[name]]
        for name in ("pipeline", "conversation")
    }
    assert shown == {"pipeline": [("p2", 1, 20), ("p1", 2, 12)], "conversation": [("c0", 1, 7), ("c1", 1, 7)]}
    anns = await client.bill(books.tenant, "2026-11", user="ann")
    assert [line.name for line in anns.by["pipeline"]] == ["p1"]


async def test_a_bill_of_the_dearest_counts_the_others(books: Books, client: Client):
    books.charge(*(Line(number, conversation_id=f"c{number}", model=f"m{number}") for number in range(1, 8)))
    books.charge(Line(1, pipeline_id="p"))
    bill = await client.bill(books.tenant, "2026-11", dearest=2)
    assert [line.name for line in bill.by["conversation"]] == ["c7", "c6"]
    assert bill.more == {"pipeline": 0, "conversation": 5}
    assert (len(bill.by["model"]), bill.total.calls) == (8, 8)
    summary = await client.spend(books.tenant, NOVEMBER, NOVEMBER + DAY, dearest=3)
    assert summary.more == {"pipeline": 0, "conversation": 4}
    with pytest.raises(InvalidInput, match="dearest 0"):
        await client.bill(books.tenant, "2026-11", dearest=0)


async def test_a_line_that_was_loaded_twice_is_billed_once(books: Books, client: Client):
    books.charge_twice(Line(77))
    total = (await client.bill(books.tenant, "2026-11")).total
    assert (total.calls, total.cost_nanousd) == (1, 77)


async def test_a_correction_changes_the_sums_and_is_no_call(books: Books, client: Client):
    books.charge(Line(1_000, usage_id="u"))
    books.charge(Line(-400, record_type="ChargeAdjusted", usage_id="u", input_tokens=-4, output_tokens=0))
    books.charge(Line(70, adjusts_period="2026-09"), Line(80, adjusts_period="2026-10"))
    books.charge(Line(-1, record_type="ChargeAdjusted", adjusts_period="2026-10"))
    bill = await client.bill(books.tenant, "2026-11")
    assert (bill.total.calls, bill.total.input_tokens, bill.total.cost_nanousd) == (3, 36, 749)
    assert [line.calls for line in bill.by["model"]] == [3]
    assert bill.adjustments == (
        AdjustedMonth(month="2026-09", late_calls=1, corrections=0, cost_nanousd=70),
        AdjustedMonth(month="2026-10", late_calls=1, corrections=1, cost_nanousd=79),
        AdjustedMonth(month="2026-11", late_calls=0, corrections=1, cost_nanousd=-400),
    )


async def test_waste_is_part_of_the_bill_whether_it_was_known_at_the_end_or_came_after_it(
    books: Books, client: Client
):
    books.charge(Line(1_000), Line(300, wasted=True))
    books.event(
        "SpendWasted", execution_id="e", user_id="ann", period="2026-11", wasted_tokens=5, wasted_nanousd=50
    )
    books.event(
        "SpendWasted", execution_id="f", user_id="ann", period="2026-10", wasted_tokens=6, wasted_nanousd=60
    )
    bill = await client.bill(books.tenant, "2026-11")
    assert bill.wasted == Wasted(tokens=16 + 5, cost_nanousd=350)
    assert bill.total.cost_nanousd == 1_300


async def test_what_is_on_no_bill_is_counted_until_it_is_charged(books: Books, client: Client):
    for usage_id, reason in (
        ("a", "unknown_model"),
        ("b", "unknown_model"),
        ("c", "too_old"),
        ("b", "unknown_model"),
    ):
        books.quarantine(usage_id, reason)
    call = {"epoch": 1, "call_seq": 1, "user_id": "ann", "cap_tokens": 9}
    for usage_id in ("lost", "settled"):
        kept = {"reserved_tokens": 7, "reserved_nanousd": 70}
        books.event("UsageUnresolved", usage_id=usage_id, **call, **kept)
    books.event("UsageUnresolved", at=NOVEMBER - 30 * DAY, usage_id="in October", **call)
    before = await client.bill(books.tenant, "2026-11")
    unknown, old = Quarantined(reason="unknown_model", calls=2), Quarantined(reason="too_old", calls=1)
    assert before.quarantined == (old, unknown)
    assert before.unresolved == Unresolved(calls=2, reserved_tokens=14, reserved_nanousd=140)
    books.charge(Line(1, usage_id="a"), Line(1, usage_id="settled"))
    after = await client.bill(books.tenant, "2026-11")
    assert after.quarantined == (old, Quarantined(reason="unknown_model", calls=1))
    assert after.quarantined_calls == 2
    assert after.unresolved == Unresolved(calls=1, reserved_tokens=7, reserved_nanousd=70)


async def test_a_user_sees_only_what_is_theirs_in_every_section(books: Books, client: Client):
    books.charge(
        Line(1, user_id="ann"), Line(20, user_id="bob", adjusts_period="2026-10"), Line(300, user_id=None)
    )
    for user, amount in (("ann", 4), ("bob", 50)):
        books.quarantine(f"q-{user}", f"reason-{user}", user)
        books.event("SpendWasted", user_id=user, period="2026-11", wasted_tokens=amount, wasted_nanousd=amount)
        books.event("UsageUnresolved", usage_id=f"u-{user}", user_id=user, reserved_tokens=amount)
    ann = await client.bill(books.tenant, "2026-11", user="ann")
    assert (ann.user_id, ann.total.cost_nanousd, ann.adjustments) == ("ann", 1, ())
    assert [line.name for line in ann.by["user"]] == ["ann"]
    assert ann.wasted == Wasted(tokens=4, cost_nanousd=4)
    assert [entry.reason for entry in ann.quarantined] == ["reason-ann"]
    assert (ann.unresolved.calls, ann.unresolved.reserved_tokens) == (1, 4)
    summary = await client.spend(books.tenant, NOVEMBER, NOVEMBER + DAY, user="bob")
    assert (summary.total.cost_nanousd, len(summary.adjustments), summary.unresolved.calls) == (20, 1, 1)


async def test_an_empty_bill_is_all_zeros_and_of_any_month(books: Books, client: Client):
    for month in ("2026-11", "2031-01"):
        bill = await client.bill(books.tenant, month)
        assert (bill.total, bill.closed_at) == (Spend(), None)
        assert bill.by == {"model": (), "user": (), "agent": (), "pipeline": (), "conversation": ()}
        assert (bill.wasted.cost_nanousd, bill.adjustments, bill.unresolved.calls) == (0, (), 0)


async def test_a_bill_says_when_its_month_was_closed_by_itself_or_with_a_later_one(
    database: ClickHouseSettings, clickhouse_client: Any, client: Client
):
    system = Books(clickhouse_client, "_penstock")
    for partition, minutes in ((0, 1), (1, 2)):
        at = datetime(2025, 4, 1, 0, minutes, tzinfo=UTC)
        system.event("PeriodClosed", at=at, period="2025-03", partition=partition, closed_by="command")
    closed = datetime(2025, 4, 1, 0, 1, tzinfo=UTC)
    assert (await client.bill("acme", "2025-03")).closed_at == closed
    assert (await client.bill("acme", "2025-02")).closed_at == closed
    assert (await client.bill("acme", "2025-04")).closed_at is None


async def test_a_summary_counts_by_when_calls_were_made_from_start_to_before_end(books: Books, client: Client):
    second = timedelta(microseconds=1)
    books.charge(
        Line(1, occurred_at=NOVEMBER - second),
        Line(20, occurred_at=NOVEMBER),
        Line(300, occurred_at=NOVEMBER + DAY - second, period="2026-12"),
        Line(4_000, occurred_at=NOVEMBER + DAY),
    )
    summary = await client.spend(books.tenant, NOVEMBER, NOVEMBER + DAY)
    assert (summary.total.calls, summary.total.cost_nanousd) == (2, 320)
    assert (summary.start, summary.end) == (NOVEMBER, NOVEMBER + DAY)
    whole = await client.spend(books.tenant, datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC))
    assert whole.total.cost_nanousd == 4_321


async def test_a_range_that_is_none_is_refused(client: Client):
    for end in (NOVEMBER, NOVEMBER - DAY):
        with pytest.raises(
            InvalidInput, match=f"end {end.isoformat().replace('+', '.')}: must be after the start"
        ):
            await client.spend("acme", NOVEMBER, end)
    with pytest.raises(InvalidInput, match="timezone"):
        await client.spend("acme", NOVEMBER, NOVEMBER.replace(tzinfo=None) + DAY)


@pytest.mark.parametrize("month", ["2026-13", "november", "2026-1", "2026-11-01", "２０２６-11"])
async def test_a_month_that_is_none_is_refused(client: Client, month: str):
    with pytest.raises(InvalidInput, match=f"month '{month}'"):
        await client.bill("acme", month)


amounts = st.integers(-(10**12), 10**12)
names = st.sampled_from(["a", "b", "=c", "", "Ä\n"])
some_lines = st.lists(
    st.builds(
        Line,
        cost_nanousd=amounts,
        model=names,
        user_id=st.none() | names,
        agent_type=st.none() | names,
        record_type=st.sampled_from(["UsageCharged", "ChargeAdjusted"]),
        adjusts_period=st.sampled_from([None, "2026-09", "2026-10"]),
        occurred_at=st.integers(0, 20 * 86_400_000_000).map(lambda us: NOVEMBER - timedelta(microseconds=us)),
        input_tokens=amounts,
        cache_read_tokens=amounts,
        cache_write_tokens=amounts,
        output_tokens=amounts,
        wasted=st.booleans(),
        pipeline_id=st.none() | names,
        conversation_id=st.none() | names,
    ),
    min_size=1,
    max_size=40,
)


@given(some_lines)
@hypothesis_settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_breakdown_adds_up_to_the_exact_total(
    clickhouse_client: Any, database: ClickHouseSettings, lines: list[Line]
):
    books = Books(clickhouse_client, f"tenant-{token_hex(6)}")
    books.charge(*lines)

    async def statements() -> list[Statement]:
        async with Client(clickhouse=database) as client:
            bill = await client.bill(books.tenant, "2026-11")
            parts = [
                await client.spend(books.tenant, NOVEMBER - 30 * DAY, NOVEMBER - 10 * DAY),
                await client.spend(books.tenant, NOVEMBER - 10 * DAY, NOVEMBER + DAY),
            ]
            return [bill, *parts]

    bill, *parts = asyncio.run(statements())
    assert isinstance(bill, Bill)
    assert bill.total == summed(lines)
    assert bill.total.cost_nanousd == sum(part.total.cost_nanousd for part in parts)
    for statement in (bill, *parts):
        for name in ("model", "user", "agent"):
            broken_down = statement.by[name]
            sums = {field: sum(getattr(line, field) for line in broken_down) for field in Spend.model_fields}
            assert Spend(**sums) == statement.total, name
    columns = {"model": "model", "user": "user_id", "agent": "agent_type"}
    origins = {"pipeline": "pipeline_id", "conversation": "conversation_id"}
    for name, column in (columns | origins).items():
        of: dict[str | None, list[Line]] = defaultdict(list)
        for line in lines:
            if name in columns or getattr(line, column) is not None:
                of[getattr(line, column)].append(line)
        found = {line.name: Spend(**line.model_dump(exclude={"name"})) for line in bill.by[name]}
        assert found == {value: summed(group) for value, group in of.items()}
    adjusting = [line for line in lines if line.adjusts_period or line.record_type == "ChargeAdjusted"]
    assert sum(a.cost_nanousd for a in bill.adjustments) == sum(line.cost_nanousd for line in adjusting)
    assert sum(a.late_calls + a.corrections for a in bill.adjustments) == len(adjusting)
    assert bill.wasted.cost_nanousd == sum(line.cost_nanousd for line in lines if line.wasted)


def summed(lines: list[Line]) -> Spend:
    """What a statement of just `lines` has as its total."""
    sums = {field: sum(getattr(line, field) for line in lines) for field in Spend.model_fields if field != "calls"}
    return Spend(calls=sum(line.record_type == "UsageCharged" for line in lines), **sums)


def every_kind_of_line() -> list[Line]:
    return [
        Line(1_000, period=SUMMED, pipeline_id="p1"),
        Line(20, period=SUMMED, pipeline_id="p2", user_id=None, agent_type=None),
        Line(7, period=SUMMED, conversation_id="c", model="claude-3-opus", wasted=True),
        Line(-3, period=SUMMED, record_type="ChargeAdjusted", pipeline_id="p1"),
        Line(5, period=SUMMED, adjusts_period="2024-01"),
    ]


def sums_of(books: Books, clickhouse: Any) -> int:
    query = "SELECT sum(lines) FROM closed_bills WHERE tenant_id = {t:String} AND section = 'total'"
    lines: int = clickhouse.query(query, parameters={"t": books.tenant}).result_rows[0][0]
    return lines


async def test_a_closed_month_is_billed_from_its_sums_as_from_its_lines(
    books: Books, client: Client, database: ClickHouseSettings, clickhouse_client: Any
):
    books.charge(*every_kind_of_line())
    before = await client.bill(books.tenant, SUMMED, dearest=1)
    Books(clickhouse_client, "system").event("PeriodClosed", period=SUMMED, closed_by="command")
    assert SUMMED in sum_up(clickhouse_client, database)
    assert sum_up(clickhouse_client, database) == [], "nothing has changed"
    clickhouse_client.command(f"ALTER TABLE ledger UPDATE cost_nanousd = 999 WHERE tenant_id = '{books.tenant}'")
    after = await client.bill(books.tenant, SUMMED, dearest=1)
    assert after.closed_at is not None
    assert (after.total, after.by, after.more) == (before.total, before.by, before.more), "the lines were read"
    assert (after.total.cost_nanousd, after.more["pipeline"]) == (1_029, 1)
    of_ann = await client.bill(books.tenant, SUMMED, user="ann")
    assert of_ann.total.calls == 3, "one user's is read from the lines"


@pytest.mark.parametrize("afterwards", ["a line that was not loaded yet", "a line once more"])
async def test_sums_that_are_not_of_every_line_are_passed_over_until_made_again(
    books: Books, client: Client, database: ClickHouseSettings, clickhouse_client: Any, afterwards: str
):
    clickhouse_client.command("SYSTEM STOP MERGES ledger")
    books.charge(Line(10, period=SUMMED))
    Books(clickhouse_client, "system").event("PeriodClosed", period=SUMMED, closed_by="command")
    sum_up(clickhouse_client, database)
    assert sums_of(books, clickhouse_client) == 1
    if afterwards == "a line once more":
        books.charge_twice(Line(5, period=SUMMED))
    else:
        books.charge(Line(5, period=SUMMED))
    assert (await client.bill(books.tenant, SUMMED)).total.cost_nanousd == 15
    assert SUMMED in sum_up(clickhouse_client, database)
    assert (await client.bill(books.tenant, SUMMED)).total.cost_nanousd == 15
    assert sums_of(books, clickhouse_client) == 2
    clickhouse_client.command("SYSTEM START MERGES ledger")


async def test_a_summing_that_died_half_way_is_done_again(
    books: Books, client: Client, database: ClickHouseSettings, clickhouse_client: Any
):
    books.charge(Line(10, period=SUMMED))
    Books(clickhouse_client, "system").event("PeriodClosed", period=SUMMED, closed_by="command")
    clickhouse_client.command(
        "INSERT INTO closed_bills_in_the_making (tenant_id, period, section, cost_nanousd, lines) "
        f"VALUES ('{books.tenant}', '{SUMMED}', 'total', 5, 1)"
    )
    assert SUMMED in sum_up(clickhouse_client, database)
    assert (await client.bill(books.tenant, SUMMED)).total.cost_nanousd == 10
