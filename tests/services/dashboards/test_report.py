"""`penstock report`, by its command line, on rows in a real engine."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from secrets import token_hex

import pytest
from click.testing import Result
from typer.testing import CliRunner

import penstock.cli.app as cli
import penstock_services.dashboards as dashboards
from penstock.errors import ClickHouseUnreachable, InvalidInput, MissingExtra
from penstock.settings import ClickHouseSettings
from penstock_services.clickhouse import connect, migrate
from tests.services.dashboards.reports import Tables, series

HOSTILE = '<img src=x onerror="alert(1)">'
ROWS = (
    """INSERT INTO executions_events (tenant_id, execution_id, event_id, record_type, occurred_at, agent_type,
        error_type, error_message, kafka_offset) VALUES
    ('acme', 'e1', '1', 'ExecutionAdmitted', '2026-09-03 10:00:00', 'echo', '', '', 1),
    ('acme', 'e1', '2', 'AttemptStarted', '2026-09-03 10:00:01', '', '', '', 2),
    ('acme', 'e1', '3', 'AttemptLost', '2026-09-03 10:00:10', '', '', '', 3),
    ('acme', 'e1', '4', 'ExecutionCompleted', '2026-09-03 10:00:30', 'echo', '', '', 4),
    ('acme', 'e1', '4', 'ExecutionCompleted', '2026-09-03 10:00:30', 'echo', '', '', 4),
    ('acme', 'e2', '5', 'ExecutionAdmitted', '2026-09-20 10:00:00', 'echo', '', '', 5),
    ('acme', 'e2', '6', 'ExecutionFailed', '2026-09-20 10:00:05', 'echo', 'Boom', '<b>it broke</b>', 6),
    ('globex', 'e3', '7', 'ExecutionCompleted', '2026-09-03 23:59:59', 'echo', '', '', 7),
    ('acme', 'e4', '8', 'ExecutionCompleted', '2026-10-01 00:00:00', 'echo', '', '', 8),
    ('initech', 'e5', '9', 'ExecutionAdmitted', '2026-07-03 10:00:00', 'echo', '', '', 9),
    ('initech', 'e5', '10', 'ExecutionCompleted', '2026-07-03 12:00:02', 'echo', '', '', 10)""",
    f"""INSERT INTO ledger (tenant_id, line_id, usage_id, period, record_type, occurred_at, agent_type, model,
        cost_nanousd) VALUES
    ('acme', 'l1', 'u1', '2026-09', 'UsageCharged', '2026-09-03 10:00:05', 'echo', '{HOSTILE}', 1500000001),
    ('acme', 'l1', 'u1', '2026-09', 'UsageCharged', '2026-09-03 10:00:05', 'echo', '{HOSTILE}', 1500000001),
    ('acme', 'l2', 'u1', '2026-09', 'ChargeAdjusted', '2026-09-03 10:00:05', 'echo', '{HOSTILE}', -500000000),
    ('acme', 'l3', 'u2', '2026-09', 'UsageCharged', '2026-09-20 10:00:05', 'writer', 'small', 2000),
    ('acme', 'l4', 'u3', '2026-10', 'UsageCharged', '2026-10-01 10:00:05', 'echo', 'small', 9000),
    ('globex', 'l5', 'u4', '2026-09', 'UsageCharged', '2026-09-04 10:00:05', 'echo', 'small', 7000)""",
    """INSERT INTO accounts_events (tenant_id, event_id, record_type, occurred_at, tier, monthly_nanousd, usage_id,
        model, reserved_tokens, kafka_offset) VALUES
    ('acme', 't', 'TenantConfigured', '2026-08-01 00:00:00', 'pro', 4000008004, '', '', 0, 1),
    ('acme', 'u', 'UsageUnresolved', '2026-09-05 00:00:00', '', NULL, 'gone', 'small', 70, 2),
    ('acme', 'v', 'UsageUnresolved', '2026-10-05 00:00:00', '', NULL, 'gone too', 'small', 80, 3)""",
    """INSERT INTO usage_quarantine (tenant_id, event_id, usage_id, period, model, reason) VALUES
    ('acme', 'q', 'q', '2026-09', 'new', 'unknown_model'),
    ('acme', 'r', 'r', '2026-10', 'new', 'unknown_model')""",
    """INSERT INTO dead_letters (tenant_id, event_id, occurred_at, stage, error_code, source_topic) VALUES
    ('_penstock', 'd', '2026-09-06 00:00:00', 'accounts', 'bad_payload', 'topic')""",
)
AWAY = {"PENSTOCK_CLICKHOUSE_PORT": "1"}
Run = Callable[..., Result]


@pytest.fixture(scope="module")
def report(clickhouse: ClickHouseSettings) -> Iterator[Run]:
    """Runs `penstock report` against a database of the module's own, in which a few things happened."""
    settings = clickhouse.model_copy(update={"database": f"report_{token_hex(4)}"})
    migrate(settings)
    environment = {
        "PENSTOCK_CLICKHOUSE_PORT": str(settings.port),
        "PENSTOCK_CLICKHOUSE_PASSWORD": settings.password.get_secret_value(),
        "PENSTOCK_CLICKHOUSE_DATABASE": settings.database,
    }
    with connect(settings) as client:
        for insert in ROWS:
            client.command(insert)
        yield lambda *arguments, **more: penstock(*arguments, environment=environment | more)
        client.command(f"DROP DATABASE {settings.database}")


def penstock(*arguments: object, environment: dict[str, str]) -> Result:
    command = ["report", *map(str, arguments)]
    return CliRunner().invoke(cli.build(command), command, env=environment)


def written(report: Run, file: Path, *arguments: str) -> str:
    done = report("--out", file, *arguments)
    assert done.exit_code == 0, done.exception
    assert done.stdout.startswith(f"{file}: {arguments[1]}, ")
    return file.read_text()


@pytest.fixture(scope="module")
def september(report: Run, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The report of September, of all tenants."""
    return written(report, tmp_path_factory.mktemp("september") / "report.html", "--month", "2026-09")


@pytest.mark.integration
def test_a_months_report_has_the_numbers_of_that_month_and_the_bills_sums(report: Run, tmp_path: Path) -> None:
    page = written(report, tmp_path / "report.html", "--month", "2026-09", "--tenant", "acme")
    tables = Tables(page).rows
    assert tables["States of what was requested in this time"][1:] == [["completed", "1"], ["failed", "1"]]
    assert tables["Why they failed"][1:] == [["echo", "Boom", "1", "<b>it broke</b>"]]
    assert tables["Spend by tenant and month"][1:] == [
        ["2026-09", "acme", "2", "1.000002"]
    ]  # a correction is no call
    assert tables["Spend by agent and month"][1:] == [
        ["2026-09", "echo", HOSTILE, "1", "1.000000"],
        ["2026-09", "writer", "small", "1", "0.000002"],
    ]
    assert tables["Budgets of the month, most used first"][1][:5] == [
        "acme",
        "pro",
        "25.0",
        "1.000002",
        "4.000008",
    ]
    assert [row[1:3] for row in tables["Unresolved calls, still reserved"][1:]] == [["small", "1"]]
    assert tables["Quarantined, on no bill"][1:] == [["acme", "2026-09", "new", "unknown_model", "1"]]
    assert "Dead letters" not in tables, "what could not be read is nobody's"


@pytest.mark.integration
def test_its_charts_draw_the_same_numbers_by_the_day(september: str) -> None:
    page = september
    completed, failed = series(page, "penstock-executions-0")
    assert (completed["name"], completed["x"], completed["y"]) == ("completed", ["2026-09-03 00:00:00"], [2.0])
    assert (failed["name"], failed["x"]) == ("failed", ["2026-09-20 00:00:00"])
    assert [quantile["y"][0] for quantile in series(page, "penstock-executions-1")] == [15.0, 28.5, 29.7]
    (bars,) = series(page, "penstock-billing-1")
    assert (bars["y"], bars["x"]) == (["globex", "acme"], [0.000007, 1.000002001])
    assert Tables(page).rows["Dead letters"][1][:4] == ["accounts", "bad_payload", "topic", "1"]


@pytest.mark.integration
def test_what_happened_within_a_few_days_is_drawn_by_the_hour(report: Run, tmp_path: Path) -> None:
    page = written(report, tmp_path / "report.html", "--month", "2026-07")
    assert [ended["x"] for ended in series(page, "penstock-executions-0")] == [["2026-07-03 12:00:00"]]


@pytest.mark.integration
def test_the_file_is_whole_by_itself_and_holds_no_markup_of_strangers(september: str) -> None:
    page = september
    assert not re.findall(r"<(?:script|link|img|iframe)[^>]*(?:src|href)=", page)
    assert page.count("<script>/**") == 1, "Plotly's own script is there once"
    assert "default-src 'none'" in page
    assert "<img" not in page.partition("</head>")[2]
    assert "&amp;lt;" in page or "\\u0026lt;img" in page or "&lt;img" in page


@pytest.mark.integration
def test_it_has_the_dashboards_four_pages_and_names_what_only_prometheus_knows(
    report: Run, tmp_path: Path
) -> None:
    page = written(report, tmp_path / "report.html", "--month", "2026-09")
    titles = re.findall(r"<h2>(.*?)</h2>", page)
    assert titles == ["Executions", "Tenants and billing", "Pipelines and conversations", "Platform"]
    elsewhere = Tables(page).rows["What only Prometheus knows"]
    assert ["Lag", "sum by (consumer, topic) (penstock_consumer_lag)"] in elsewhere


@pytest.mark.integration
@pytest.mark.parametrize("which", [["--month", "2026-08"], ["--month", "2026-09", "--tenant", "nobody"]])
def test_of_a_month_without_data_it_says_so(report: Run, tmp_path: Path, which: list[str]) -> None:
    page = written(report, tmp_path / "report.html", *which)
    assert f"ClickHouse knows of nothing that happened in {which[1]}" in page


@pytest.mark.integration
def test_a_file_that_is_there_is_kept_unless_forced(report: Run, tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    file.write_text("mine")
    done = report("--month", "2026-09", "--out", file)
    assert isinstance(done.exception, InvalidInput)
    assert "--force replaces it" in str(done.exception)
    assert file.read_text() == "mine"
    assert report("--month", "2026-09", "--out", file, "--force").exit_code == 0
    assert file.read_text().startswith("<!DOCTYPE html>")


@pytest.mark.integration
def test_a_database_without_our_schema_is_said_so(report: Run, tmp_path: Path) -> None:
    done = report("--month", "2026-09", "--out", tmp_path / "report.html", PENSTOCK_CLICKHOUSE_DATABASE="nowhere")
    assert isinstance(done.exception, ClickHouseUnreachable)
    assert "penstock clickhouse migrate" in str(done.exception)


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (["--month", "2026-13"], "month '2026-13': must be YYYY-MM"),
        (["--month", "September"], "month 'September': must be YYYY-MM"),
        (["--month", "0001-01"], "of a year from 1970"),
        (["--month", "2026-09", "--tenant", ""], "tenant ''"),
        (["--month", "2026-09", "--tenant", "_penstock"], "is reserved"),
        (["--month", "2026-09", "--out", "/no/such/folder/report.html"], "there is no folder /no/such/folder"),
        (["--month", "2026-09", "--out", "/dev/null", "--force"], "no ordinary file"),
        (["--month", "2026-09", "--out", f"/tmp/{'a' * 300}"], "cannot be written (File name too long)"),
    ],
)
def test_bad_input_is_refused_before_anything_is_asked(tmp_path: Path, arguments: list[str], names: str) -> None:
    done = penstock("--out", tmp_path / "report.html", *arguments, environment=AWAY)
    assert isinstance(done.exception, InvalidInput)
    assert names in str(done.exception)


@pytest.mark.integration
def test_a_folder_that_takes_no_files_is_said_so(report: Run) -> None:
    done = report("--month", "2026-09", "--out", "/proc/report.html")
    assert isinstance(done.exception, InvalidInput)
    assert "--out /proc/report.html: cannot be written" in str(done.exception)


def test_a_clickhouse_that_is_away_is_said_so_and_nothing_is_written(tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    done = penstock("--month", "2026-09", "--out", file, environment=AWAY)
    assert isinstance(done.exception, ClickHouseUnreachable)
    assert "127.0.0.1:1" in str(done.exception)
    assert not file.exists()


def test_without_its_extra_it_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in [
        name for name in sys.modules if name.partition(".")[0] == "plotly" or "dashboards.html" in name
    ]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.delattr(dashboards, "html", raising=False)
    monkeypatch.delattr(dashboards, "charts", raising=False)
    monkeypatch.delitem(sys.modules, "penstock_services.dashboards.charts", raising=False)
    monkeypatch.setitem(sys.modules, "plotly", None)
    done = penstock("--month", "2026-09", "--out", tmp_path / "report.html", environment=AWAY)
    assert isinstance(done.exception, MissingExtra)
    assert "pip install 'penstock[report]'" in str(done.exception)
