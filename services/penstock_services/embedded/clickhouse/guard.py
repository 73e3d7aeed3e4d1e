"""What the development engine refuses, because chdb would reach files, the network or Python with it.

The engine has no users or grants, so the boundary is its own list of table functions and engines minus the ones
named here: what a later version adds is refused until it is read and allowed.
"""

from __future__ import annotations

from dataclasses import dataclass

from penstock_services.embedded.clickhouse.errors import (
    ACCESS_DENIED,
    NOT_IMPLEMENTED,
    SYNTAX_ERROR,
    ClickHouseError,
)
from penstock_services.embedded.clickhouse.statement import Statement


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


TABLE_FUNCTIONS_ALLOWED = _words(
    """dictionary format generate_series generaterandom generateseries loop merge mergetreeindex
    mergetreeprojection null numbers numbers_mt primes values view viewexplain zeros zeros_mt"""
)
ENGINES_ALLOWED = _words(
    """aggregatingmergetree alias atomic buffer coalescingmergetree collapsingmergetree generaterandom join log
    materializedview memory merge mergetree null replacingmergetree set stripelog summingmergetree tinylog
    versionedcollapsingmergetree view"""
)
ALSO_REFUSED = frozenset({"catboostevaluate", "clickhouse", "disk", "filesystem", "http", "python"})
"""Functions, dictionary sources and disk definitions that are not in the engine's list of table functions."""
KINDS_ALLOWED = _words(
    """( ALTER CHECK CREATE DELETE DESC DESCRIBE DROP EXCHANGE EXISTS EXPLAIN FROM INSERT KILL OPTIMIZE RENAME
    REPLACE SELECT SET SHOW SYSTEM TRUNCATE UPDATE USE WITH"""
)
SYSTEM_REFUSED = frozenset({"KILL", "SHUTDOWN", "SUSPEND"})
KINDS_OF_GET = _words("( DESC DESCRIBE EXISTS EXPLAIN FROM SELECT SHOW WITH")
"""GET implies readonly, as on the real server."""


@dataclass(frozen=True, slots=True)
class Guard:
    """The refused names, lower case."""

    functions: frozenset[str]
    engines: frozenset[str]

    @classmethod
    def of(cls, table_functions: set[str], engines: set[str], ai_functions: set[str]) -> Guard:
        """The guard for an engine that has these names, in lower case."""
        return cls(
            functions=frozenset(table_functions - TABLE_FUNCTIONS_ALLOWED) | ai_functions | ALSO_REFUSED,
            engines=frozenset(engines - ENGINES_ALLOWED),
        )

    def check(self, statement: Statement) -> None:
        """Raise `ClickHouseError` if `statement` may not reach the engine."""
        if not statement.kind:
            raise ClickHouseError(SYNTAX_ERROR, "Syntax error: Empty query")
        if statement.has_second:
            raise ClickHouseError(SYNTAX_ERROR, "Syntax error (Multi-statements are not allowed)")
        if statement.uses_client_file:
            raise ClickHouseError(
                NOT_IMPLEMENTED, "INTO OUTFILE and FROM INFILE belong to the client and do not exist over HTTP"
            )
        if statement.kind not in KINDS_ALLOWED:
            raise ClickHouseError(
                SYNTAX_ERROR, f"Syntax error: {statement.kind[:40]!r} begins no statement that this engine takes"
            )
        if statement.kind == "SYSTEM" and statement.subject in SYSTEM_REFUSED:
            raise ClickHouseError(
                ACCESS_DENIED, f"SYSTEM {statement.subject} is refused; stop the process instead"
            )
        if refused := sorted(statement.calls & self.functions):
            raise ClickHouseError(
                ACCESS_DENIED, f"{refused[0]}() is refused: this development engine reads no files and no network"
            )
        if refused := sorted(statement.engines & self.engines):
            raise ClickHouseError(
                ACCESS_DENIED, f"engine {refused[0]} is refused: it needs files, a network or a real server"
            )
