"""Apply `penstock_schemas/clickhouse/*.sql` in the order of their numbers, each once."""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files
from itertools import pairwise

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from penstock.errors import ContractError
from penstock.settings import ClickHouseSettings
from penstock_services.clickhouse.client import connect, unreachable

_LEDGER = """
CREATE TABLE IF NOT EXISTS schema_migrations
(
    number String COMMENT 'Of the file in penstock_schemas/clickhouse',
    name String,
    checksum FixedString(64) COMMENT 'SHA-256 of the file, hexadecimal',
    applied_at DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = ReplacingMergeTree
ORDER BY number
COMMENT 'Which schema files have been applied'
"""


@dataclass(frozen=True, slots=True)
class Migration:
    """One numbered file."""

    number: str
    """Three digits."""
    name: str
    statements: tuple[str, ...]
    checksum: str
    """SHA-256 of the file, hexadecimal."""

    @classmethod
    def of(cls, file_name: str, text: str) -> Migration:
        """Parse a file; statements end in a semicolon at the end of a line."""
        found = re.fullmatch(r"(\d{3})_(\w+)\.sql", file_name)
        if found is None:
            raise ContractError(f"{file_name} is no migration: files are called NNN_name.sql")
        statements = tuple(s.strip() for s in re.split(r";[ \t]*(?:\n|$)", text) if s.strip())
        return cls(found.group(1), found.group(2), statements, sha256(text.encode()).hexdigest())


def packaged_migrations() -> list[Migration]:
    """The migrations of this version, in order.

    Raises:
        ContractError: two files have the same number.
    """
    folder = files("penstock_schemas").joinpath("clickhouse")
    found = [Migration.of(f.name, f.read_text("utf-8")) for f in folder.iterdir() if f.name.endswith(".sql")]
    found.sort(key=lambda migration: migration.number)
    for one, next_one in pairwise(found):
        if one.number == next_one.number:
            raise ContractError(f"two migrations have the number {one.number}: {one.name} and {next_one.name}")
    return found


def migrate(
    settings: ClickHouseSettings, migrations: list[Migration] | None = None, *, deadline_s: float = 10.0
) -> list[str]:
    """Bring the database of `settings` to this version; creates it where it is missing.

    Commit order of one migration, and what a crash costs:
    1. run its statements. Each is CREATE … IF NOT EXISTS, CREATE OR REPLACE or repeatable; a crash here or
       before 2 runs them again.
    2. record its number and checksum; from here on it is never run again.

    Args:
        deadline_s: how long to wait for the server to answer.

    Returns:
        The numbers that this call applied.

    Raises:
        ContractError: a file was edited after it had been applied, or the database is of a newer version.
        ClickHouseUnreachable: no answer, or the server refuses a statement.
    """
    wanted = packaged_migrations() if migrations is None else migrations
    with connect(settings, deadline_s=deadline_s, database="") as client:
        try:
            client.command(f"CREATE DATABASE IF NOT EXISTS `{settings.database}`")
            client.database = settings.database
            client.command(_LEDGER)
            applied = _applied(client)
            _check(settings, wanted, applied)
            pending = [migration for migration in wanted if migration.number not in applied]
            for migration in pending:
                for statement in migration.statements:
                    client.command(statement)
                row = [[migration.number, migration.name, migration.checksum]]
                client.insert("schema_migrations", row, column_names=["number", "name", "checksum"])
        except (ClickHouseError, OSError) as exc:
            raise unreachable(settings, exc) from exc
    return [migration.number for migration in pending]


def _applied(client: Client) -> dict[str, str]:
    rows = client.query("SELECT number, toString(checksum) FROM schema_migrations FINAL").result_rows
    return {str(number): str(checksum) for number, checksum in rows}


def _check(settings: ClickHouseSettings, wanted: list[Migration], applied: dict[str, str]) -> None:
    known = {migration.number: migration for migration in wanted}
    for number, checksum in sorted(applied.items()):
        migration = known.get(number)
        if migration is None:
            raise ContractError(
                f"database {settings.database} has migration {number}, which this version does not know; "
                "install the version that applied it, or a newer one"
            )
        if migration.checksum != checksum:
            raise ContractError(
                f"migration {number}_{migration.name} was edited after {settings.database} had applied it; "
                "restore the file and put the change into a new number"
            )
