"""Every panel of the dashboards, on data that a loader loaded."""

from __future__ import annotations

from typing import Any

import pytest
from tests.consumers.loader.conftest import Kafka, RunLoader, until
from tests.consumers.loader.samples import ACCOUNTS, EVENTS, charged
from tests.consumers.loader.test_views import THIS_MONTH, loaded  # noqa: F401  # a fixture
from tests.deploy.panels import SQL_PANELS, as_sent

from penstock.agents.context import SANDBOX_MODEL
from penstock_schemas import records as r
from penstock_schemas.ids import execution_id

pytestmark = pytest.mark.integration
TENANT = "shown"
BUDGET_NANOUSD = 10_000


def rejected_and_stopped() -> list[r.Record]:
    """One execution that was refused, and one whose command took too long."""

    def named(request: str) -> dict[str, Any]:
        identity = {"tenant_id": TENANT, "execution_id": execution_id(TENANT, request)}
        return identity | {"request_id": request, "agent_type": "shell", "user_id": "ann"}

    ended: dict[str, Any] = {"epoch": 1, "attempts": 1, "last_seq": 3}
    return [
        r.ExecutionRejected(**named("refused"), reason="budget_exceeded", detail="nothing is left"),
        r.ExecutionAdmitted(**named("stopped"), model=None, tier="pro", timeout_s=5, max_attempts=3),
        r.ExecutionFailed(**named("stopped"), **ended, error_type="CommandTimedOut", error_message="5 s"),
    ]


def spent() -> list[r.Record]:
    """A tenant with a budget that is half spent, and a command that ran in the sandbox."""
    line = charged(TENANT, 1, cost_nanousd=BUDGET_NANOUSD // 2)
    command = {"period": THIS_MONTH, "model": SANDBOX_MODEL, "sandbox_cpu_ms": 1_500, "tool_calls": 1}
    limits: dict[str, Any] = {"concurrency": 4, "queue_limit": 50, "suspended": False}
    return [
        r.TenantConfigured(tenant_id=TENANT, tier="pro", monthly_nanousd=BUDGET_NANOUSD, **limits),
        line.model_copy(update=command),
        r.BudgetThresholdReached(
            tenant_id=TENANT, period=THIS_MONTH, unit="nanousd", percent=50, spent=5_000, budget=BUDGET_NANOUSD
        ),
    ]


@pytest.fixture
async def shown(kafka: Kafka, loaded: Any, run_loader: RunLoader) -> Any:  # noqa: F811  # the fixture
    """A client of a database that has something for every panel."""
    await kafka.produce(*rejected_and_stopped(), topic=EVENTS)
    await kafka.produce(*spent(), topic=ACCOUNTS)
    there = f"""
        SELECT (SELECT count() FROM executions_events WHERE tenant_id = '{TENANT}') >= 3
            AND (SELECT count() FROM accounts_events WHERE tenant_id = '{TENANT}') >= 2
            AND (SELECT count() FROM ledger WHERE tenant_id = '{TENANT}') >= 1
    """
    async with run_loader():
        await until(lambda: loaded.command(there) == 1)
    loaded.command("SYSTEM REFRESH VIEW spend_hourly_refresh")
    loaded.command("SYSTEM WAIT VIEW spend_hourly_refresh")
    return loaded


async def test_every_panel_has_rows_under_the_columns_it_names(shown: Any) -> None:
    for panel, sql in SQL_PANELS:
        answer = shown.query(as_sent(sql))
        assert answer.column_names == panel.columns, panel.title
        assert answer.result_rows, panel.title


async def test_a_page_shows_nothing_of_another_tenant(shown: Any) -> None:
    for panel, sql in SQL_PANELS:
        assert not shown.query(as_sent(sql, "nobody")).result_rows, panel.title


async def test_the_budgets_panel_says_how_much_of_the_month_is_used(shown: Any) -> None:
    (sql,) = [sql for panel, sql in SQL_PANELS if panel.title.startswith("Budgets")]
    (row,) = shown.query(as_sent(sql, TENANT)).named_results()
    assert (row["used_percent"], row["tier"], row["hard_budget"]) == (50.0, "pro", True)
