"""The roll-ups that panels ask about days and weeks, beside the rows they are made of."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from penstock.settings import ClickHouseSettings
from penstock_services.clickhouse import connect, migrate
from penstock_services.dashboards import Span, as_sent
from penstock_services.dashboards.grafana import WORDS
from penstock_services.dashboards.pages import pages

pytestmark = pytest.mark.integration
ROLL_UPS = ("executions_hourly_refresh", "spend_origins_refresh")
DAYS = 5
HOUR = timedelta(hours=1)
END = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
WEEK = Span(END - timedelta(days=DAYS), END, step_s=3_600)
START = f"toDateTime64('{WEEK.start:%Y-%m-%d %H:%M:%S}', 6, 'UTC')"
EVENTS = f"""
    INSERT INTO executions_events (tenant_id, execution_id, event_id, record_type, occurred_at, kafka_offset,
        kafka_timestamp)
    WITH multiIf(number % 7 = 0, ['ExecutionRejected'], number % 7 = 1, ['ExecutionQueued'],
        number % 7 = 2, ['ExecutionAdmitted', 'AttemptStarted', 'AttemptLost', 'StaleAttemptReported'],
        ['ExecutionAdmitted', 'AttemptStarted',
         ['ExecutionCompleted', 'ExecutionFailed', 'ExecutionTimedOut', 'ExecutionCancelled'][1 + number % 7 - 3],
         'StaleAttemptReported']) AS types
    SELECT if(number % 3 = 0, 'globex', 'acme'), toString(number), concat(toString(number), '-', toString(place)),
        type, {START} + toIntervalMinute(number * 11) + toIntervalMillisecond(place * number) AS at,
        number * 10 + place, at
    FROM numbers(600) ARRAY JOIN types AS type, arrayEnumerate(types) AS place
"""
CHARGES = f"""
    INSERT INTO ledger (tenant_id, line_id, usage_id, period, record_type, occurred_at, pipeline_id,
        conversation_id, model, cost_nanousd)
    SELECT if(number % 20 < 8, 'globex', 'acme'), toString(number), toString(number), formatDateTime(at, '%Y-%m'),
        if(number % 9 = 0, 'ChargeAdjusted', 'UsageCharged'), {START} + toIntervalMinute(number * 11) AS at,
        if(number % 4 = 0, concat('p', toString(number % 20)), NULL),
        if(number % 4 = 1, concat('c', toString(number % 20)), NULL), 'small',
        if(number % 9 = 0, -1, 1) * (1000000007 + number)
    FROM numbers(600)
"""


def asked(words: dict[str, str]) -> dict[str, str]:
    """Every panel's SQL by its title."""
    return {panel.title: panel.sql for page in pages(words) for panel in page.panels if panel.sql is not None}


ROWS = asked(WORDS | {"by_hours": "false", "by_rows": "true"})
BOTH = {title: sql for title, sql in asked(WORDS).items() if sql != ROWS[title]}


@pytest.fixture
def stopped(clickhouse_database: ClickHouseSettings) -> Iterator[Any]:
    """A client of a database where every row is there twice, and nothing is rolled up."""
    migrate(clickhouse_database)
    with connect(clickhouse_database) as client:
        for view in ROLL_UPS:
            client.command(f"SYSTEM WAIT VIEW {view}")
            client.command(f"SYSTEM STOP VIEW {view}")
        for table in ("executions_events", "ledger"):
            client.command(f"SYSTEM STOP MERGES {table}")
        for insert in (EVENTS, CHARGES) * 2:
            client.command(insert)
        yield client


@pytest.fixture
def rolled(stopped: Any) -> Any:
    """The same, rolled up."""
    for view in ROLL_UPS:
        stopped.command(f"SYSTEM START VIEW {view}")
        stopped.command(f"SYSTEM REFRESH VIEW {view}")
        stopped.command(f"SYSTEM WAIT VIEW {view}")
    return stopped


def answer(client: Any, sql: str, span: Span, tenant: str = "") -> list[tuple[Any, ...]]:
    return sorted(client.query(as_sent(sql, span, tenant)).result_rows)


def test_five_panels_have_a_roll_up() -> None:
    assert len(BOTH) == 5


@pytest.mark.parametrize("tenant", ["", "acme", "globex"])
def test_a_roll_up_answers_what_the_rows_do_though_each_is_there_twice(rolled: Any, tenant: str) -> None:
    for title, sql in BOTH.items():
        assert answer(rolled, sql, WEEK, tenant) == answer(rolled, ROWS[title], WEEK, tenant) != [], title


def test_money_and_endings_are_equal_for_a_part_of_the_time_as_well(rolled: Any) -> None:
    part = Span(WEEK.start + 30 * HOUR, WEEK.end - 30 * HOUR, step_s=3_600)
    for title in ("Ended, by how", "What pipelines cost", "What conversations cost"):
        assert answer(rolled, BOTH[title], part) == answer(rolled, ROWS[title], part) != [], title


@pytest.mark.parametrize(
    ("span", "by_hours"),
    [
        pytest.param(WEEK, True, id="days"),
        pytest.param(Span(WEEK.start, WEEK.start + 48 * HOUR, step_s=60), False, id="two days"),
        pytest.param(Span(END - timedelta(days=60), END, step_s=3_600), False, id="since before the roll-up"),
    ],
)
def test_days_are_asked_of_the_roll_up_and_everything_else_of_the_rows(
    stopped: Any, span: Span, by_hours: bool
) -> None:
    for title, sql in BOTH.items():
        assert (answer(stopped, sql, span) == []) is by_hours, title


def test_only_one_of_the_two_is_read(rolled: Any) -> None:
    hours = Span(WEEK.start, WEEK.start + 6 * HOUR, step_s=60)
    for title, sql in BOTH.items():
        tables = ("spend_origins", "ledger") if "cost" in title else ("executions_hourly", "executions_events")
        for span, table in zip((WEEK, hours), tables, strict=True):
            read = rolled.query(f"EXPLAIN ESTIMATE {as_sent(sql, span)}").named_results()
            assert {row["table"] for row in read if row["rows"]} == {table}, title
