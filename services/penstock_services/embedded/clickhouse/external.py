"""External tables: data sent beside a query in a form, there for this one query as a temporary table."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

from penstock_services.embedded.clickhouse.errors import BAD_ARGUMENTS, ClickHouseError
from penstock_services.embedded.clickhouse.guard import Guard
from penstock_services.embedded.clickhouse.request import Call
from penstock_services.embedded.clickhouse.session import Session
from penstock_services.embedded.clickhouse.statement import scan

DEFAULT_FORMAT = "TabSeparated"


@dataclass(frozen=True, slots=True)
class ExternalTable:
    """One file of a form. Its methods block."""

    name: str
    structure: str
    """As between the brackets of CREATE TABLE."""
    format_name: str
    content: bytes

    @property
    def creation(self) -> str:
        return f"CREATE TEMPORARY TABLE `{self.name}` ({self.structure}) ENGINE = Memory"

    def create(self, session: Session) -> None:
        """Make and fill the table. Raises the engine's RuntimeError."""
        session.run(self.creation)
        if not self.content:
            return
        # In memory, and seekable, as Parquet needs it.
        descriptor = os.memfd_create("external")
        try:
            with open(descriptor, "wb", closefd=False) as file:
                file.write(self.content)
            source = f"FROM INFILE '/proc/self/fd/{descriptor}' FORMAT {self.format_name}"
            session.run(f"INSERT INTO `{self.name}` {source}")
        except RuntimeError:
            self.drop(session)
            raise
        finally:
            os.close(descriptor)

    def drop(self, session: Session) -> None:
        session.run(f"DROP TEMPORARY TABLE IF EXISTS `{self.name}`")


def external_tables(call: Call, files: Mapping[str, bytes], guard: Guard) -> list[ExternalTable]:
    """The tables of a form's files; takes their `NAME_format`, `NAME_structure` and `NAME_types` out of `call`.

    Raises:
        ClickHouseError: a name, format or structure that cannot be one.
    """
    tables = []
    for name, content in files.items():
        format_name = call.params.pop(f"{name}_format", DEFAULT_FORMAT)
        types = call.params.pop(f"{name}_types", "")
        structure = call.params.pop(f"{name}_structure", "") or _columns(types)
        if not re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII):
            raise ClickHouseError(BAD_ARGUMENTS, f"external table {name[:80]!r}: the name is no identifier")
        if not re.fullmatch(r"\w+", format_name, re.ASCII):
            raise ClickHouseError(BAD_ARGUMENTS, f"external table {name!r}: no format {format_name[:80]!r}")
        if not structure:
            raise ClickHouseError(BAD_ARGUMENTS, f"external table {name!r} needs {name}_structure or {name}_types")
        table = ExternalTable(name, structure, format_name, content)
        guard.check(scan(table.creation.encode()))
        tables.append(table)
    return tables


def _columns(types: str) -> str:
    """`String,Decimal(9, 2)` as `_1 String, _2 Decimal(9, 2)`."""
    found, depth = [""], 0
    for character in types:
        depth += (character == "(") - (character == ")")
        if character == "," and not depth:
            found.append("")
        else:
            found[-1] += character
    return ", ".join(f"_{number} {name.strip()}" for number, name in enumerate(found, 1)) if types.strip() else ""
