"""Access SQL for ClickHouse: derived from the schema, valid, and tried as far as the embedded engine can."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from penstock.settings import ClickHouseSettings
from penstock_consumers.loader.tables import TABLE_OF
from penstock_services.access.clickhouse_check import check
from penstock_services.access.clickhouse_roles import OPERATORS_OWN_VIEWS, TENANT_ROLE, USERS, files, roles_of
from penstock_services.access.clickhouse_schema import Schema, schema_of
from penstock_services.clickhouse import connect, migrate
from penstock_services.clickhouse.migrate import Migration, packaged_migrations
from tests.cli.test_usage import penstock
from tests.docs.blocks import Block, blocks
from tests.fixtures.clickhouse import ClickHouseProcess

SCHEMA = schema_of(packaged_migrations())
DEPLOYED = Path(__file__).parents[2] / "deploy" / "clickhouse"


def statements(text: str) -> tuple[str, ...]:
    """Without comments."""
    return Migration.of("000_any.sql", re.sub(r"^--.*\n", "", text, flags=re.MULTILINE)).statements


ALL = [statement for text in files(SCHEMA, "penstock").values() for statement in statements(text)]


def test_the_files_of_deploy_are_what_the_schema_asks_for():
    """`penstock clickhouse access --folder deploy/clickhouse` renews them."""
    found = {path.name: path.read_text() for path in DEPLOYED.glob("*.sql")}
    assert found == files(SCHEMA, "penstock")


def test_the_loader_may_insert_into_the_tables_it_loads_and_no_others():
    assert set(SCHEMA.loaded) == set(TABLE_OF.values())
    assert "penstock_loader" not in roles_of(SCHEMA).selects


EXAMPLES = [block for block in blocks("sql") if block.page == "docs/clickhouse.md"]


@pytest.mark.parametrize("block", EXAMPLES, ids=str)
def test_analysts_may_read_what_the_examples_for_them_do_but_dead_letters(block: Block):
    known = {*SCHEMA.tables, *SCHEMA.views}
    read = {name for name in re.findall(r"\b(?:FROM|JOIN)\s+(\w+)", block.code) if name in known}
    allowed = set(roles_of(SCHEMA).selects["penstock_analyst"])
    assert read
    assert read - allowed <= {"dead_letters", "v_dead_letters"}


@pytest.mark.integration
def test_the_schema_is_that_of_the_engine_and_every_table_has_a_tenant_id(clickhouse_database: ClickHouseSettings):
    migrate(clickhouse_database)
    with connect(clickhouse_database) as client:
        kinds = dict(
            client.query("SELECT name, engine FROM system.tables WHERE database = currentDatabase()").result_rows
        )
        by_tenant = "SELECT table FROM system.columns WHERE database = currentDatabase() AND name = 'tenant_id'"
        tenants = {row[0] for row in client.query(by_tenant).result_rows}
    views = {name for name, engine in kinds.items() if engine == "View"}
    tables = {name for name, engine in kinds.items() if engine.endswith("MergeTree")}
    assert views == set(SCHEMA.views)
    assert tables - {"schema_migrations"} == set(SCHEMA.tables)
    assert set(SCHEMA.tables) <= tenants
    assert set(roles_of(SCHEMA).selects[TENANT_ROLE]) <= tenants


@pytest.mark.integration
@pytest.mark.parametrize("statement", ALL)
def test_every_statement_is_one_the_engine_can_parse(clickhouse: ClickHouseSettings, statement: str):
    with connect(clickhouse, database="") as client:
        assert client.query("SELECT formatQuery({sql:String})", parameters={"sql": statement}).result_rows[0][0]


@pytest.mark.integration
def test_control_a_statement_with_a_slip_is_not_parsed(clickhouse: ClickHouseSettings):
    with connect(clickhouse, database="") as client, pytest.raises(Exception, match="(?i)syntax error"):
        client.query("SELECT formatQuery('CREATE ROW POLCY x ON y USING 1 TO z')")


@pytest.mark.parametrize("table", SCHEMA.tables)
def test_every_table_shows_a_tenant_its_own_rows_only(table: str):
    mine = [s for s in ALL if s.startswith("CREATE ROW POLICY") and f" ON penstock.{table} " in s]
    own, others = sorted(mine, key=lambda s: "ALL EXCEPT" in s)
    assert own.endswith(f"TO {TENANT_ROLE}")
    assert "tenant_id = substring(currentUser(), 8)" in own
    assert others.endswith(f"USING 1 TO ALL EXCEPT {TENANT_ROLE}")


@pytest.mark.integration
def test_the_policy_lets_through_the_rows_of_the_tenant_in_the_users_name(clickhouse: ClickHouseSettings):
    condition = next(s for s in ALL if "penstock_own_rows" in s).partition("USING ")[2].rpartition(" TO ")[0]
    query = f"""
        SELECT tenant_id FROM (SELECT arrayJoin(['acme', 'acme2', 'ac', '', 'tenant:acme']) AS tenant_id)
        WHERE {condition.replace("currentUser()", "{user:String}")}
    """
    with connect(clickhouse, database="") as client:

        def seen(user: str) -> list[str]:
            return [row[0] for row in client.query(query, parameters={"user": user}).result_rows]

        assert seen("tenant:acme") == ["acme"]
        assert seen("tenant:tenant:acme") == ["tenant:acme"]
        assert seen("penstokacme") == []
        assert seen("default") == []


def test_a_tenant_is_granted_the_tables_behind_its_views_and_nothing_of_the_operators():
    granted = set(roles_of(SCHEMA).selects[TENANT_ROLE])
    assert not granted & (OPERATORS_OWN_VIEWS | {"dead_letters", "price_events"})
    for view in granted & set(SCHEMA.views):
        assert SCHEMA.reads[view] <= granted


def test_a_tenant_can_neither_write_nor_raise_its_limits():
    of_tenant = [s for s in ALL if f"TO {TENANT_ROLE}" in s]
    assert {s.split()[1] for s in of_tenant if s.startswith("GRANT")} == {"SELECT"}
    (limits,) = (s for s in of_tenant if "SETTINGS PROFILE" in s)
    settings = limits.partition("SETTINGS readonly")[2].split(",")
    assert all("CONST" in setting for setting in settings)


def test_no_statement_holds_a_password_and_new_users_cannot_log_in():
    users = [s for s in ALL if s.startswith("CREATE USER")]
    assert len(users) == len(USERS) - 1
    assert all(s.endswith("NOT IDENTIFIED HOST NONE") for s in users)
    assert not any("IDENTIFIED BY" in s or "IDENTIFIED WITH" in s for s in ALL)


def test_a_view_of_a_view_needs_the_tables_of_both():
    text = "CREATE TABLE IF NOT EXISTS a (x Int8);\nCREATE OR REPLACE VIEW v AS SELECT x FROM a;\n"
    text += "CREATE OR REPLACE VIEW w AS SELECT x FROM v;\n"
    assert schema_of([Migration.of("001_x.sql", text)]) == Schema(
        ("a",), {"v": frozenset("a"), "w": frozenset("a")}
    )


@pytest.mark.integration
def test_a_user_who_may_do_everything_passes_as_owner_and_fails_as_tenant(clickhouse_database: ClickHouseSettings):
    migrate(clickhouse_database)
    with connect(clickhouse_database) as client:
        as_owner = check(client, SCHEMA, roles_of(SCHEMA), "penstock_owner", "default")
        assert [cell for cell in as_owner if not cell.holds] == []
        as_tenant = check(client, SCHEMA, roles_of(SCHEMA), TENANT_ROLE, "tenant:acme")
        wrong = {(cell.operation, cell.name) for cell in as_tenant if not cell.holds}
        left = client.query("SELECT count() FROM system.tables WHERE name = 'penstock_access_probe'").result_rows
    assert {("select", "dead_letters"), ("insert", "ledger"), ("create", "penstock_access_probe")} <= wrong
    assert left == [(0,)]


@pytest.mark.integration
def test_the_command_tells_what_a_user_may_not_do_and_should(tmp_path: Path):
    server = ClickHouseProcess(tmp_path, reader_readonly=1)
    try:
        migrate(server.settings)
        env = {
            "PENSTOCK_CLICKHOUSE_PORT": str(server.port),
            "PENSTOCK_CLICKHOUSE_USER": "reader",
            "PENSTOCK_CLICKHOUSE_PASSWORD": server.password,
        }
        reads = penstock("clickhouse", "check-access", "--role", "penstock_reader", **env)
        loads = penstock("clickhouse", "check-access", "--role", "penstock_loader", "--json", **env)
    finally:
        server.stop()
    assert reads.returncode == 0, reads.stdout + reads.stderr
    assert loads.returncode == 1
    wrong = {(cell["operation"], cell["name"]) for cell in json.loads(loads.stdout) if not cell["holds"]}
    assert ("insert", "ledger") in wrong
    assert ("select", "ledger") in wrong


def test_an_unknown_role_is_refused_before_any_server_is_asked():
    done = penstock("clickhouse", "check-access", "--role", "penstock_king")
    assert done.returncode == 2
    assert "penstock_tenant" in done.stderr
