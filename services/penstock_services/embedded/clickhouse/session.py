"""A connection with its settings and current database; kept under a session id, or for one request only."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import secrets
from collections.abc import Mapping
from typing import Any

from penstock_services.embedded.clickhouse.engine import DATABASE, Engine, quote
from penstock_services.embedded.clickhouse.errors import (
    UNKNOWN_SETTING,
    ClickHouseError,
)

SHARE_OF_MEMORY = 2
"""One statement may take this part of the machine's memory; the engine's own default is no limit."""
SETTINGS = {
    "max_memory_usage": str(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // SHARE_OF_MEMORY),
    "implicit_select": "0",  # `1 + 1` alone is no query over HTTP
    "http_max_tries": "2",  # a dead address is not tried ten times
    "output_format_parallel_formatting": "0",  # 400 MB of result: 13 to 130 MB of memory, not 530, and faster
    "min_insert_block_size_bytes": str(32 << 20),  # 1.6 GB inserted: 350 MB of memory, not 2.3 GB
    "max_insert_block_size_bytes": str(32 << 20),
}
"""What differs from the engine's own defaults; a request may set it otherwise."""


class Session:
    """One chdb connection. Its methods block.

    Args:
        readonly: as ClickHouse's setting; above 0 the engine does not let it go down again.
        kept: for more than one request.
    """

    def __init__(self, engine: Engine, readonly: int, kept: bool) -> None:
        self.connection: Any = engine.connect()
        self.lock = asyncio.Lock()
        self.expires_at = 0.0
        self._applied: dict[str, str] = {}
        self._database = ""
        self.chosen_database: str | None = None
        """What `USE` chose in this session."""
        self.kept = kept
        self.readonly = 0
        self.mark = secrets.token_hex(8)
        """The `log_comment` of what runs in this session, by which the engine stops it."""
        self._apply({**SETTINGS, "log_comment": self.mark})
        self.freeze(readonly)

    def prepare(self, settings: Mapping[str, str], database: str | None, query_id: str) -> None:
        """Make `settings` and `database` those of the next statement; settings of the last one are taken back.

        Raises:
            ClickHouseError: a name that no setting can have.
            RuntimeError: the engine's, for an unknown one and for any change where `readonly` is 1.
        """
        if self.readonly != 1:
            self.mark = query_id
        for name in settings:
            if not re.fullmatch(r"[A-Za-z_]\w*", name):
                raise ClickHouseError(UNKNOWN_SETTING, f"Unknown setting {name[:80]!r}")
        self._apply({**SETTINGS, **settings, "log_comment": self.mark})
        database = database or self.chosen_database or DATABASE
        if database != self._database:
            escaped = database.replace("\\", "\\\\").replace("`", "\\`")
            self.run(f"USE `{escaped}`")
            self._database = database

    def freeze(self, readonly: int) -> None:
        """Let the engine hold `readonly`. It cannot be undone, so a kept session gets only what is its own."""
        if readonly > self.readonly:
            self.run(f"SET readonly = {readonly}")
            self.readonly = readonly

    def note_use(self) -> None:
        """Remember what a `USE` statement chose."""
        self.chosen_database = self._database = self._ask("currentDatabase()")

    def note_set(self) -> None:
        """Remember what a `SET` statement made of `readonly`."""
        self.readonly = int(self._ask("getSetting('readonly')"))

    def set_parameters(self, parameters: Mapping[str, str]) -> None:
        """Query parameters of an INSERT, which the engine takes only as settings."""
        if parameters:
            self.run("SET " + ", ".join(f"param_{name} = {quote(value)}" for name, value in parameters.items()))

    def _apply(self, wanted: dict[str, str]) -> None:
        changes = [
            f"{name} = {quote(value)}" for name, value in wanted.items() if self._applied.get(name) != value
        ]
        if self.readonly != 1:
            changes += [f"{name} = DEFAULT" for name in self._applied if name not in wanted]
        if changes:
            self.run("SET " + ", ".join(changes))
            self._applied = wanted

    def _ask(self, expression: str) -> str:
        answer = self.connection.query(f"SELECT {expression}", "TSVRaw").bytes()
        return str(answer.decode()).rstrip("\n")

    def run(self, sql: str) -> None:
        self.connection.query(sql, "Null")

    def close(self) -> None:
        with contextlib.suppress(RuntimeError):
            self.connection.close()
