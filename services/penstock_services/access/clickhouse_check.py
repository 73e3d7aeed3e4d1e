"""Trying one user's row of the ClickHouse matrix against a real server, without changing anything in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError, DatabaseError

from penstock_services.access.clickhouse_roles import TENANT_PREFIX, TENANT_ROLE, Roles
from penstock_services.access.clickhouse_schema import Schema

REFUSED = frozenset({164, 497})
"""READONLY and ACCESS_DENIED."""
NO_ROWS = "FORMAT JSONEachRow"
"""And then nothing: rights are looked at, nothing is written."""
PROBE = "penstock_access_probe"
"""A table that only a server which lets a user create too much gets, and loses at once."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One try."""

    operation: str
    name: str
    expected: bool
    found: bool
    detail: str = ""

    @property
    def holds(self) -> bool:
        return self.expected == self.found


def check(client: Client, schema: Schema, roles: Roles, role: str, user: str) -> list[Cell]:
    """Every table and view, selected from; every table, inserted into; and a table created.

    A tenant's user is also shown to see its own rows only, in each table and view with a `tenant_id` it may read.

    Args:
        client: logged in as `user`, who has `role`.

    Raises:
        ClickHouseError: a statement failed for another reason than a missing right.
    """
    cells = [
        _cell("select", name, roles.may(role, "select", name), _attempt(client, f"SELECT * FROM {name} LIMIT 0"))
        for name in (*schema.tables, *schema.views)
    ]
    cells += [
        _cell("insert", name, roles.may(role, "insert", name), _attempt(client, f"INSERT INTO {name} {NO_ROWS}"))
        for name in schema.tables
    ]
    created = _attempt(client, f"CREATE TABLE {PROBE} (nothing UInt8) ENGINE = Memory")
    if created is None:
        client.command(f"DROP TABLE {PROBE}")
    cells.append(_cell("create", PROBE, roles.may(role, "create", PROBE), created))
    if role == TENANT_ROLE:
        cells += [_own_rows(client, name, user) for name in roles.selects[role]]
    return cells


def _own_rows(client: Client, name: str, user: str) -> Cell:
    tenant = user.removeprefix(TENANT_PREFIX)
    query = f"SELECT count() FROM {name} WHERE tenant_id != {{tenant:String}}"
    try:
        foreign = int(client.query(query, parameters={"tenant": tenant}).result_rows[0][0])
    except DatabaseError as exc:
        return Cell("own rows", name, True, False, _first_line(exc))
    return Cell("own rows", name, True, foreign == 0, f"{foreign} rows of other tenants" if foreign else "")


def _cell(operation: str, name: str, expected: bool, refusal: str | None) -> Cell:
    return Cell(operation, name, expected, refusal is None, refusal or "")


def _attempt(client: Client, statement: str) -> str | None:
    """None where it was let happen, else what the server said."""
    ask: Callable[[str], object] = client.query if statement.startswith("SELECT") else client.raw_query
    try:
        ask(statement)
    except DatabaseError as exc:
        if exc.code in REFUSED:
            return _first_line(exc)
        raise
    return None


def _first_line(exc: ClickHouseError) -> str:
    return (str(exc).splitlines() or [type(exc).__name__])[0][:200]
