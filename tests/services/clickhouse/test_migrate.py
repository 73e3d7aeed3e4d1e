"""Migrations: each once, repeatable after a crash, and never against a schema they do not know."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace

import pytest
from pydantic import SecretStr

from penstock.errors import ClickHouseUnreachable, ContractError
from penstock.settings import ClickHouseSettings
from penstock_services.clickhouse import connect, migrate
from penstock_services.clickhouse.migrate import Migration, packaged_migrations

FIRST = Migration.of("001_first.sql", "CREATE TABLE IF NOT EXISTS first (a Int8) ENGINE = MergeTree ORDER BY a;\n")
SECOND = Migration.of(
    "002_second.sql",
    "CREATE TABLE IF NOT EXISTS second (a Int8) ENGINE = Memory;\n\nCREATE OR REPLACE VIEW v AS\nSELECT ';'",
)


def tables(settings: ClickHouseSettings) -> set[str]:
    with connect(settings) as client:
        return {row[0] for row in client.query("SHOW TABLES").result_rows}


def test_the_packaged_schema_is_applied_once(clickhouse_database: ClickHouseSettings) -> None:
    numbers = [migration.number for migration in packaged_migrations()]
    assert migrate(clickhouse_database) == numbers
    assert migrate(clickhouse_database) == []
    assert {"executions_events", "ledger", "v_executions", "v_bill"} <= tables(clickhouse_database)


def test_a_new_migration_is_added_to_those_before(clickhouse_database: ClickHouseSettings) -> None:
    assert migrate(clickhouse_database, [FIRST]) == ["001"]
    assert migrate(clickhouse_database, [FIRST, SECOND]) == ["002"]
    assert {"first", "second", "v"} <= tables(clickhouse_database)


def test_the_database_is_made_where_it_is_missing(clickhouse_database: ClickHouseSettings) -> None:
    settings = clickhouse_database
    with connect(settings) as client:
        client.command(f"DROP DATABASE {settings.database}")
    assert migrate(settings, [FIRST]) == ["001"]


def test_a_crash_between_statement_and_record_is_repeated(clickhouse_database: ClickHouseSettings) -> None:
    with connect(clickhouse_database) as client:
        for migration in packaged_migrations():
            for statement in migration.statements:
                client.command(statement)
    assert migrate(clickhouse_database) == [migration.number for migration in packaged_migrations()]


def test_an_edited_file_is_refused(clickhouse_database: ClickHouseSettings) -> None:
    migrate(clickhouse_database, [FIRST])
    with pytest.raises(ContractError, match=r"001_first was edited"):
        migrate(clickhouse_database, [replace(FIRST, checksum="0" * 64), SECOND])
    assert "second" not in tables(clickhouse_database)


def test_a_newer_database_is_refused(clickhouse_database: ClickHouseSettings) -> None:
    migrate(clickhouse_database, [FIRST, SECOND])
    with pytest.raises(ContractError, match="has migration 002"):
        migrate(clickhouse_database, [FIRST])


def test_a_failing_statement_names_the_server_and_the_cause(clickhouse_database: ClickHouseSettings) -> None:
    broken = Migration.of("001_broken.sql", "CREATE TABLE t (a NoSuchType) ENGINE = Memory")
    with pytest.raises(ClickHouseUnreachable, match="NoSuchType"):
        migrate(clickhouse_database, [broken])


def test_no_server_and_a_wrong_password_are_said_so(clickhouse: ClickHouseSettings) -> None:
    with pytest.raises(ClickHouseUnreachable, match=r"127.0.0.1:1 "):
        connect(clickhouse.model_copy(update={"port": 1}), deadline_s=0.3)
    with pytest.raises(ClickHouseUnreachable, match="Authentication failed"):
        connect(clickhouse.model_copy(update={"password": SecretStr("wrong")}))


def test_every_table_and_view_says_what_it_is_for(clickhouse_database: ClickHouseSettings) -> None:
    migrate(clickhouse_database)
    query = "SELECT name FROM system.tables WHERE database = currentDatabase() AND comment = ''"
    with connect(clickhouse_database) as client:
        assert client.query(query).result_rows == []


def test_the_command_migrates(clickhouse_database: ClickHouseSettings) -> None:
    settings = clickhouse_database
    environment = os.environ | {
        "PENSTOCK_CLICKHOUSE_PORT": str(settings.port),
        "PENSTOCK_CLICKHOUSE_PASSWORD": settings.password.get_secret_value(),
        "PENSTOCK_CLICKHOUSE_DATABASE": settings.database,
    }
    program = (
        "import typer; from penstock_services.clickhouse.commands import register; "
        "app = typer.Typer(); register(app); app()"
    )
    command = [sys.executable, "-c", program, "clickhouse", "migrate", "--json"]
    printed = subprocess.run(command, env=environment, capture_output=True, check=True, timeout=60).stdout
    assert json.loads(printed)["applied"][0] == "001"
