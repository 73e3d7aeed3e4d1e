"""What analysts read: every example of docs/clickhouse.md on loaded data, columns in words, the roll-up."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.consumers.loader.conftest import Kafka, RunLoader, until
from tests.consumers.loader.samples import (
    ACCOUNTS,
    CONVERSATIONS,
    EVENTS,
    PIPELINES,
    PROGRESS,
    charged,
    conversation_of,
    life_of,
    pipeline_of,
)

from penstock.settings import ClickHouseSettings
from penstock_schemas import records as r
from penstock_schemas.ids import execution_id
from penstock_schemas.prices import AMOUNTS
from penstock_services.clickhouse.summing import sum_up

pytestmark = pytest.mark.integration
PAGE = (Path(__file__).parents[3] / "docs" / "clickhouse.md").read_text()
EXAMPLES = re.findall(r"```sql\n(.*?)```", PAGE, re.DOTALL)
THIS_MONTH = datetime.now(UTC).strftime("%Y-%m")
BILLED = sorted({"2026-11", THIS_MONTH})
"""The month of the page's examples, and one that is open."""
CLOSED = "2026-10"
LINES = 40


def quarantined(tenant: str) -> r.UsageQuarantined:
    fields = charged(tenant, 1_000).model_dump(exclude={"cost_nanousd", "price_version"})
    return r.UsageQuarantined(**fields | {"model": "new"}, reason="unknown_model", detail="new has no price")


def late_and_corrected(tenant: str, period: str) -> list[r.Record]:
    """A call of September, charged late, and what an operator made of it."""
    billed = {"event_id": f"late-{period}", "period": period, "adjusts_period": "2026-09", "model": "late-model"}
    late = charged(tenant, 501, cost_nanousd=70).model_copy(update=billed)
    differences = {"input_tokens": -1, "output_tokens": 0, "cost_nanousd": -7}
    made = {"event_id": f"correction-{period}", "corrected_by": "command", "reason": "counted twice"}
    return [late, r.ChargeAdjusted(**late.model_dump() | differences | made)]


OF_LINES = {"agent_type": "echo", "user_id": "ann", "pipeline_id": "p", "conversation_id": "c"}


@pytest.fixture
async def loaded(
    kafka: Kafka, run_loader: RunLoader, clickhouse_client: Any, clickhouse_database: ClickHouseSettings
) -> Any:
    """A client of a database that has something of everything, of the tenant acme."""
    acme = "acme"
    await kafka.produce(
        *(
            record
            for ending in ("completed", "failed", "timed_out")
            for record in life_of(acme, ending, ending=ending)
        ),
        *life_of(acme, "waits")[:2],
        topic=EVENTS,
    )
    step: dict[str, Any] = {"tenant_id": acme, "execution_id": execution_id(acme, "completed"), "epoch": 2}
    await kafka.produce(
        r.StepStarted(**step, seq=1, step_number=1, step_type="model", name="read"),
        r.OutputEmitted(**step, seq=2, text="done"),
        r.ArtifactKept(**step | {"epoch": 1}, seq=1, path="of a lost attempt", sha256="1" * 64, size_bytes=1),
        r.ArtifactKept(**step, seq=3, path="out/a.csv", sha256="2" * 64, size_bytes=2),
        r.ArtifactKept(**step, seq=4, path="out/a.csv", sha256="3" * 64, size_bytes=3),
        r.ArtifactKept(**step, seq=5, path="b.txt", sha256="4" * 64, size_bytes=4),
        topic=PROGRESS,
    )
    lines = [charged(acme, n, cost_nanousd=n + 1, execution=execution_id(acme, "completed")) for n in range(LINES)]
    await kafka.produce(
        r.TenantConfigured(tenant_id=acme, tier="pro", concurrency=4, queue_limit=50, suspended=False),
        *(line.model_copy(update=OF_LINES) for line in lines),
        *(record for period in BILLED for record in late_and_corrected(acme, period)),
        r.PeriodClosed(tenant_id=r.SYSTEM_TENANT, partition=0, closed_by="command", period=CLOSED),
        charged(acme, 600).model_copy(update={"event_id": "closed", "period": CLOSED}),
        charged(acme, 500, cost_nanousd=7).model_copy(update={"event_id": "this-month", "period": THIS_MONTH}),
        quarantined(acme),
        r.SpendWasted(
            tenant_id=acme,
            execution_id="e",
            period="2026-11",
            wasted_tokens=5,
            wasted_nanousd=50,
            agent_type="echo",
        ),
        r.UsageUnresolved(
            tenant_id=acme,
            usage_id="never reported",
            execution_id="e",
            epoch=1,
            call_seq=1,
            model="gpt-4",
            cap_tokens=500,
            reserved_tokens=400,
            reserved_nanousd=9_000,
        ),
        r.PriceListed(
            tenant_id=r.SYSTEM_TENANT,
            partition=0,
            listed_by="command",
            price_version="operator-1",
            model="my-own-llm",
            effective_from=1,
            **dict.fromkeys(AMOUNTS, 250),
        ),
        topic=ACCOUNTS,
    )
    await kafka.produce(*conversation_of(acme, execution_id(acme, "completed")), topic=CONVERSATIONS)
    await kafka.produce(*pipeline_of(acme, execution_id(acme, "completed")), topic=PIPELINES)
    await kafka.produce_raw(b"nonsense", topic=ACCOUNTS)
    tables = (
        "conversations_events",
        "pipelines_events",
        "executions_events",
        "executions_progress",
        "accounts_events",
        "ledger",
        "usage_quarantine",
    )
    there = " AND ".join(f"(SELECT count() FROM {table} WHERE tenant_id = 'acme') > 0" for table in tables)
    async with run_loader():
        await until(
            lambda: clickhouse_client.command(f"SELECT {there} AND (SELECT count() FROM dead_letters) > 0") == 1
        )
        await until(
            lambda: (
                clickhouse_client.command("SELECT count() FROM v_usage_lines WHERE tenant_id = 'acme'")
                == LINES + 2 + 2 * len(BILLED)
            )
        )
    for view in ("spend_hourly_refresh", "executions_hourly_refresh"):
        clickhouse_client.command(f"SYSTEM REFRESH VIEW {view}")
        clickhouse_client.command(f"SYSTEM WAIT VIEW {view}")
    assert sum_up(clickhouse_client, clickhouse_database) == [CLOSED]
    return clickhouse_client


async def test_every_example_of_the_page_has_an_answer(loaded: Any) -> None:
    assert len(EXAMPLES) >= 12
    for example in EXAMPLES:
        assert loaded.query(example).result_rows, example


async def test_every_view_and_column_is_on_the_page(clickhouse_client: Any) -> None:
    query = "SELECT table, name FROM system.columns WHERE database = currentDatabase() AND startsWith(table, 'v_')"
    columns = clickhouse_client.query(query).result_rows
    tokens = {"tenant_id", "period"}  # said once for all views
    words = set(re.findall(r"`(\w+)`", PAGE)) | tokens
    assert {name for row in columns for name in row} - words == set()
    assert "v_executions" in {table for table, _ in columns}


async def test_the_roll_up_is_the_ledger_of_the_open_months(loaded: Any) -> None:
    rolled = """
        SELECT period, sum(calls), sum(input_tokens), sum(cost_nanousd) FROM v_spend_hourly
        WHERE tenant_id = 'acme' GROUP BY period ORDER BY period
    """
    whole = """
        SELECT period, sum(calls), sum(input_tokens), sum(cost_nanousd) FROM v_spend_daily
        WHERE tenant_id = 'acme' AND period >= formatDateTime(now('UTC') - INTERVAL 48 HOUR, '%Y-%m')
        GROUP BY period ORDER BY period
    """
    assert loaded.query(rolled).result_rows == loaded.query(whole).result_rows != []
    of_outside = "SELECT agent_type FROM v_spend_hourly WHERE tenant_id = 'acme' AND cost_nanousd = 7"
    assert loaded.command(of_outside) == ""


async def test_a_correction_is_in_the_sums_and_no_call_and_a_late_call_is_one(loaded: Any) -> None:
    which = f"WHERE tenant_id = 'acme' AND period = '{THIS_MONTH}'"
    for view in ("v_bill", "v_spend_daily", "v_spend_hourly"):
        query = (
            f"SELECT sum(calls), sum(input_tokens), sum(cost_nanousd) FROM {view} {which} AND model = 'late-model'"
        )
        assert loaded.query(query).result_rows == [(1, 9, 63)], view
    query = f"SELECT month, late_calls, corrections, cost_nanousd FROM v_adjustments {which}"
    assert loaded.query(query).result_rows == [("2026-09", 1, 1, 63)]
    assert loaded.query("SELECT period, partitions FROM v_periods").result_rows == [("2026-10", 1)]


async def test_artifacts_are_what_the_accepted_attempt_kept_last(loaded: Any) -> None:
    query = "SELECT path, size_bytes, sha256, agent_type FROM v_artifacts WHERE tenant_id = 'acme' ORDER BY path"
    kept = [("b.txt", 4, "4" * 64, "echo"), ("out/a.csv", 3, "3" * 64, "echo")]
    await until(lambda: loaded.query(query).result_rows == kept)
    counted = (
        "SELECT artifacts, artifacts_ref_size FROM v_executions WHERE tenant_id = 'acme' AND status = 'completed'"
    )
    assert loaded.query(counted).result_rows == [(2, 200)]


async def test_a_pipeline_and_a_conversation_cost_what_their_lines_do(loaded: Any) -> None:
    for of in ("pipeline", "conversation"):
        query = f"SELECT {of}_id, calls, cost_nanousd FROM v_bill_{of}s WHERE tenant_id = 'acme'"
        assert loaded.query(query).result_rows == [(of[0], LINES, LINES * (LINES + 1) // 2)]


async def test_attempts_say_how_each_one_ended(loaded: Any) -> None:
    query = """
        SELECT epoch, status, worker_id, reason, error_type, reported_too_late, ended_at >= started_at
        FROM v_attempts WHERE tenant_id = 'acme' AND execution_id = {id:String} ORDER BY epoch
    """
    ended = {
        ending: loaded.query(query, parameters={"id": execution_id("acme", ending)}).result_rows
        for ending in ("completed", "failed", "timed_out")
    }
    lost = (1, "lost", "w1", "lease_expired", None, "completed", True)
    assert ended == {
        "completed": [lost, (2, "completed", "w2", None, None, None, True)],
        "failed": [lost, (2, "failed", "w2", None, "Boom", None, True)],
        "timed_out": [lost, (2, "timed_out", "w2", None, None, None, True)],
    }


async def test_a_deleted_conversation_stays_away_whatever_is_loaded_after(
    kafka: Kafka, run_loader: RunLoader, clickhouse_client: Any
) -> None:
    life = conversation_of("forgetful", "e")
    said = {name: getattr(life[0], name) for name in ("tenant_id", "user_id", "conversation_id")}
    deleted = r.ConversationDeleted(**said, turn_count=1, cause="conversation")
    await kafka.produce(*life, deleted, *life, topic=CONVERSATIONS)  # as a replay of the log would load it
    there = "SELECT uniqExact(kafka_offset) FROM conversations_events WHERE tenant_id = 'forgetful'"
    async with run_loader():
        await until(lambda: clickhouse_client.command(there) >= len(life) + 1)
        await until(
            lambda: (
                clickhouse_client.command(
                    "SELECT count() FROM conversations_events FINAL WHERE tenant_id = 'forgetful'"
                )
                == len(life) + 1
            )
        )
    for view in ("v_conversations", "v_conversation_turns"):
        assert clickhouse_client.command(f"SELECT count() FROM {view} WHERE tenant_id = 'forgetful'") == 0


async def test_a_conversation_counts_each_turn_once_however_often_it_was_loaded(
    kafka: Kafka, run_loader: RunLoader, clickhouse_client: Any
) -> None:
    life = conversation_of("counted", "e")
    await kafka.produce(*life, *life, topic=CONVERSATIONS)
    query = """
        SELECT turn_count, failed_turns, total_tokens, running, title, metadata FROM v_conversations
        WHERE tenant_id = 'counted'
    """
    there = (
        "SELECT max(kafka_offset) - min(kafka_offset) + 1 FROM conversations_events WHERE tenant_id = 'counted'"
    )
    async with run_loader():
        await until(lambda: clickhouse_client.command(there) >= len(life))
        await until(lambda: clickhouse_client.query(query).result_rows[0][3] == 0)
    assert clickhouse_client.query(query).result_rows == [(1, 1, 30, 0, "hello", {"channel": "web"})]
    turns = "SELECT turn_number, role, status, content FROM v_conversation_turns WHERE tenant_id = 'counted'"
    assert sorted(clickhouse_client.query(turns).result_rows) == [
        (1, "assistant", "appended", "hi"),
        (1, "user", "appended", "hello"),
        (2, "user", "failed", "and?"),
    ]


async def test_a_users_list_of_conversations_reads_nobody_elses(database: Any, clickhouse_client: Any) -> None:
    clickhouse_client.command("""
        INSERT INTO conversations_events (tenant_id, user_id, conversation_id, event_id, record_type, turn_number)
        SELECT 'acme', concat('user-', toString(number % 2000)), toString(intDiv(number, 20000)), toString(number),
            'TurnAppended', 1
        FROM numbers(1000000)
    """)
    plan = clickhouse_client.query("""
        EXPLAIN ESTIMATE SELECT conversation_id FROM v_conversations
        WHERE tenant_id = 'acme' AND user_id = 'user-7' ORDER BY last_activity_at DESC LIMIT 20
    """)
    (estimate,) = plan.named_results()
    assert estimate["table"] == "conversations_events"
    assert estimate["rows"] <= 3 * 8192, "a few granules of a million rows"


@pytest.mark.parametrize(
    ("until_event", "state", "second_stage"),
    [
        ("failed", ("failed", 1, 1, 25, "Write", "it broke", True), ("failed", 1, "second", 5, "Boom")),
        ("resumed", ("running", 2, 1, 25, None, None, False), ("running", 2, "third", None, None)),
        ("completed", ("completed", 2, 2, 55, None, None, True), ("completed", 2, "third", 30, None)),
    ],
)
async def test_a_pipeline_is_as_its_last_event_left_it_however_often_it_was_loaded(
    kafka: Kafka,
    run_loader: RunLoader,
    clickhouse_client: Any,
    until_event: str,
    state: tuple[Any, ...],
    second_stage: tuple[Any, ...],
) -> None:
    tenant = f"pipes-{until_event}"
    events = pipeline_of(tenant, "first", until=until_event)
    await kafka.produce(*events, *events, topic=PIPELINES)
    async with run_loader():
        await until(
            lambda: (
                clickhouse_client.command(
                    "SELECT uniqExact(event_id) FROM pipelines_events WHERE tenant_id = {t:String}",
                    parameters={"t": tenant},
                )
                == len(events)
            )
        )
    query = """
        SELECT status, epoch, completed_stages, used_tokens, failed_at_stage, error, finished_at IS NOT NULL
        FROM v_pipelines WHERE tenant_id = {t:String}
    """
    assert clickhouse_client.query(query, parameters={"t": tenant}).result_rows == [state]
    query = """
        SELECT stage_name, status, epoch, execution_id, used_tokens, error_type
        FROM v_pipeline_stages WHERE tenant_id = {t:String} ORDER BY stage_index
    """
    assert clickhouse_client.query(query, parameters={"t": tenant}).result_rows == [
        ("Research", "completed", 1, "first", 20, None),
        ("Write", *second_stage),
    ]


async def test_each_run_of_a_stage_has_what_it_was_charged(loaded: Any) -> None:
    query = """
        SELECT stage_name, epoch, calls, cost_nanousd FROM v_pipeline_costs WHERE tenant_id = 'acme'
    """
    assert loaded.query(query).result_rows == [("Research", 1, LINES, LINES * (LINES + 1) // 2)]
