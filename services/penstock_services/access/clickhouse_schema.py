"""Tables and views of the ClickHouse schema, and which table each view reads, from the migrations. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from penstock_services.clickhouse.migrate import Migration

_CREATED = re.compile(
    r"^CREATE (?:OR REPLACE )?(?P<kind>TABLE|VIEW) (?:IF NOT EXISTS )?(?P<name>\w+)", re.MULTILINE
)
_ROLLED_UP = re.compile(r"^CREATE MATERIALIZED VIEW [^;]*?\bREFRESH [^;]*?\bTO (\w+)", re.MULTILINE)
_DROPPED = re.compile(r"^DROP (?:TABLE|VIEW) (?:IF EXISTS )?(\w+)", re.MULTILINE)
_FROM_KAFKA = "kafka_offset"
"""A column of every table that the loader fills, and of no other."""
_READ = re.compile(r"\b(?:FROM|JOIN)\s+(\w+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Schema:
    """What there is to be allowed."""

    tables: tuple[str, ...]
    reads: dict[str, frozenset[str]]
    """Tables by view, also those behind the views it reads."""
    loaded: tuple[str, ...] = ()
    """Tables that the loader fills."""
    rolled_up: tuple[str, ...] = ()
    """Tables that ClickHouse makes anew of others, by tenant."""

    @property
    def views(self) -> tuple[str, ...]:
        return tuple(self.reads)

    def tables_behind(self, views: Iterable[str]) -> tuple[str, ...]:
        """Tables that whoever asks `views` must be allowed to read: a view has its reader's rights."""
        return tuple(sorted({table for view in views for table in self.reads[view]}))


def schema_of(migrations: Iterable[Migration]) -> Schema:
    """The schema after all `migrations`."""
    tables: set[str] = set()
    bodies: dict[str, str] = {}
    loaded: set[str] = set()
    rolled_up: set[str] = set()
    for statement in (s for migration in migrations for s in migration.statements):
        for name in _DROPPED.findall(statement):
            tables.discard(name)
            bodies.pop(name, None)
        rolled_up |= set(_ROLLED_UP.findall(statement))
        if created := _CREATED.search(statement):
            if created["kind"] == "TABLE":
                tables.add(created["name"])
                if _FROM_KAFKA in statement:
                    loaded.add(created["name"])
            else:
                bodies[created["name"]] = statement[created.end() :]

    def behind(view: str) -> frozenset[str]:
        named = set(_READ.findall(bodies[view]))
        return frozenset((named & tables) | {t for inner in named & bodies.keys() for t in behind(inner)})

    return Schema(
        tables=tuple(sorted(tables)),
        reads={view: behind(view) for view in sorted(bodies)},
        loaded=tuple(sorted(loaded & tables)),
        rolled_up=tuple(sorted(rolled_up & tables)),
    )
