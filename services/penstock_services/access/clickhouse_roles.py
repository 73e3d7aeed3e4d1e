"""Who may do what on a ClickHouse server, and the SQL that says so, derived from the schema. Pure.

A tenant's user is called `tenant:<tenant_id>`: the row policies compare that name with each row, so there is no
list of users beside the server's own. Views have their reader's rights (SQL SECURITY INVOKER, ClickHouse's
default), so the policies of the tables hold behind them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from penstock_services.access.clickhouse_schema import Schema

TENANT_PREFIX = "tenant:"
TENANT_ROLE = "penstock_tenant"
OPERATORS_OWN_VIEWS = frozenset({"v_dead_letters", "v_periods", "v_prices"})
"""Of rows that are no tenant's, or hold bytes nobody could read, and so maybe another's."""
OWNER_RIGHTS = (
    "SELECT, INSERT, ALTER, CREATE DATABASE, CREATE TABLE, CREATE VIEW, DROP TABLE, DROP VIEW, OPTIMIZE, SHOW"
)


@dataclass(frozen=True, slots=True)
class Roles:
    """What each role may do with which tables and views."""

    selects: Mapping[str, tuple[str, ...]]
    """By role, everything it may select."""
    inserts: Mapping[str, tuple[str, ...]]
    """By role, every table it may insert into."""

    def may(self, role: str, operation: str, name: str) -> bool:
        """One cell: `operation` is `select`, `insert` or `create`."""
        rights = {"select": self.selects, "insert": self.inserts, "create": {"penstock_owner": (name,)}}[operation]
        return name in rights.get(role, ())


USERS = {
    "penstock_owner": "applies the schema, compacts closed months",
    "penstock_loader": "inserts what Kafka has",
    "penstock_reader": "our processes and operators: reads everything",
    "penstock_analyst": "reads every tenant's rows, but no dead letters",
    TENANT_ROLE: "reads one tenant's rows; for users called tenant:<tenant_id>",
}
"""Roles, and what each is for. All but a tenant's have a user of the same name."""


def roles_of(schema: Schema) -> Roles:
    """The rights of each role."""
    everything = (*schema.tables, *schema.views)

    def readable_but(others: Collection[str]) -> tuple[str, ...]:
        views = tuple(view for view in schema.views if view not in others)
        return (*sorted({*schema.tables_behind(views), *schema.rolled_up}), *views)

    return Roles(
        selects={
            "penstock_owner": everything,
            "penstock_reader": everything,
            "penstock_analyst": readable_but({"v_dead_letters"}),
            TENANT_ROLE: readable_but(OPERATORS_OWN_VIEWS),
        },
        inserts={"penstock_owner": schema.tables, "penstock_loader": schema.loaded},
    )


def files(schema: Schema, database: str) -> dict[str, str]:
    """The SQL by file name, in the order to run it; each may be run again."""
    roles = roles_of(schema)
    sections = {
        "010_roles.sql": _roles(),
        "020_grants.sql": _grants(roles, schema, database),
        "030_row_policies.sql": _policies(schema, database),
        "040_limits.sql": _limits(),
        "050_users.sql": _users(),
    }
    head = "-- Made by `penstock clickhouse access`; do not edit. See docs/access-control.md.\n\n"
    return {name: head + "\n\n".join(f"{line};" for line in lines) + "\n" for name, lines in sections.items()}


def _roles() -> list[str]:
    return [f"-- {what}\nCREATE ROLE IF NOT EXISTS {role}" for role, what in USERS.items()]


def _grants(roles: Roles, schema: Schema, database: str) -> list[str]:
    lines = [f"REVOKE ALL ON *.* FROM {role}" for role in USERS]
    lines.append(f"GRANT {OWNER_RIGHTS} ON {database}.* TO penstock_owner")
    lines.append(f"GRANT SELECT ON {database}.* TO penstock_reader")
    for table in roles.inserts["penstock_loader"]:
        lines.append(f"GRANT INSERT, SHOW COLUMNS ON {database}.{table} TO penstock_loader")
    for role in ("penstock_analyst", TENANT_ROLE):
        lines += [f"GRANT SELECT ON {database}.{name} TO {role}" for name in roles.selects[role]]
    return lines


def _policies(schema: Schema, database: str) -> list[str]:
    named = f"startsWith(currentUser(), '{TENANT_PREFIX}')"  # or a user named otherwise might read somebody's rows
    own = f"{named} AND tenant_id = substring(currentUser(), {len(TENANT_PREFIX) + 1})"
    lines: list[str] = []
    for table in schema.tables:  # also those a tenant may not read: a grant too many must not open them
        on = f"ON {database}.{table}"
        lines.append(
            f"CREATE ROW POLICY OR REPLACE penstock_own_rows {on} FOR SELECT USING {own} TO {TENANT_ROLE}"
        )
        # A table with any policy shows others nothing, where the server is set up so.
        lines.append(
            f"CREATE ROW POLICY OR REPLACE penstock_all_rows {on} FOR SELECT USING 1 TO ALL EXCEPT {TENANT_ROLE}"
        )
    return lines


def _limits() -> list[str]:
    return [
        "CREATE SETTINGS PROFILE OR REPLACE penstock_tenant_limits SETTINGS readonly = 2 CONST, "
        "max_execution_time = 30 CONST, max_memory_usage = 2000000000 CONST, max_threads = 2 CONST, "
        "max_concurrent_queries_for_user = 4 CONST, max_result_rows = 1000000 CONST, "
        f"allow_ddl = 0 CONST, allow_introspection_functions = 0 CONST TO {TENANT_ROLE}",
        "CREATE SETTINGS PROFILE OR REPLACE penstock_analyst_limits SETTINGS readonly = 2 CONST, "
        "max_execution_time = 300 MAX 600, max_memory_usage = 8000000000 MAX 16000000000, allow_ddl = 0 CONST "
        "TO penstock_analyst",
        "CREATE QUOTA OR REPLACE penstock_tenant_quota KEYED BY user_name FOR INTERVAL 1 hour "
        f"MAX queries = 3600, errors = 600, read_rows = 2000000000, execution_time = 1200 TO {TENANT_ROLE}",
        "CREATE QUOTA OR REPLACE penstock_analyst_quota KEYED BY user_name FOR INTERVAL 1 hour "
        "MAX queries = 10000, read_rows = 100000000000, execution_time = 7200 TO penstock_analyst",
    ]


def _users() -> list[str]:
    """Users that nobody can log in as until they are given a password and hosts: no password is written here."""
    lines: list[str] = []
    for role in USERS:
        if role != TENANT_ROLE:
            lines.append(f"CREATE USER IF NOT EXISTS {role} NOT IDENTIFIED HOST NONE")
            lines.append(f"GRANT {role} TO {role}")
            lines.append(f"ALTER USER {role} DEFAULT ROLE {role}")
    return lines
