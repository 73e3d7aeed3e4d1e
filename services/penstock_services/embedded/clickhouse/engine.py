"""The chdb engine of this process: opened once, with one permanent connection and one connection per request."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import chdb
from chdb import _chdb

from penstock.errors import AlreadyRunning, DataFolderDamaged
from penstock_services.embedded.clickhouse.folder import is_open_elsewhere, prepare_folder
from penstock_services.embedded.clickhouse.guard import Guard

DATABASE = "penstock"
"""The database of whoever names none."""


class Engine:
    """Use `Engine.open`. All methods block; call them in a thread.

    The permanent connection keeps background merges and refreshable views running between requests.
    """

    def __init__(self, path: Path, keeper: Any) -> None:
        self.path = path
        self._keeper = keeper
        self._keeper_lock = threading.Lock()
        self.version, self.timezone = self._ask("SELECT version(), timezone()")[0].split("\t")
        self.guard = Guard.of(
            table_functions=set(self._ask("SELECT lower(name) FROM system.table_functions")),
            engines=set(
                self._ask("SELECT lower(name) FROM system.table_engines")
                + self._ask("SELECT lower(name) FROM system.database_engines")
            ),
            ai_functions=set(
                self._ask("SELECT lower(name) FROM system.functions WHERE match(name, '^(ai|AI)[A-Z]')")
            ),
        )

    @classmethod
    def open(cls, path: Path) -> Engine:
        """Open the engine on the folder `path`, which is made where it is missing.

        Raises:
            AlreadyRunning: another process has it open.
            DataFolderDamaged: it is not ours, or the engine cannot load what is in it.
        """
        prepare_folder(path)
        # SIGTERM is the server's: it finishes what is in flight. (Missing from the stub.)
        _chdb.set_signal_handlers_enabled(False)  # type: ignore[attr-defined]
        try:
            engine = cls(path, chdb.connect(str(path)))
            engine._replace_default_database()
        except RuntimeError as exc:
            if is_open_elsewhere(path):
                raise AlreadyRunning(f"another process has the ClickHouse folder {path} open") from exc
            raise DataFolderDamaged(
                f"the engine cannot load the ClickHouse folder {path}; its own words are above. Restore it, "
                "or remove it and let the loader fill a new one from Kafka"
            ) from exc
        return engine

    def connect(self) -> Any:
        """A new connection: its own settings, current database and temporary tables. Takes about 1 ms."""
        return chdb.connect(str(self.path))

    def kill(self, mark: str) -> bool:
        """Stop what runs under a session's `mark`; False where nothing does."""
        # The engine names queries itself; ours is carried in a setting.
        sql = f"KILL QUERY WHERE Settings['log_comment'] = {quote(mark)} ASYNC"
        with self._keeper_lock:
            return bool(self._keeper.query(sql, "TSVRaw").bytes())

    def close(self) -> None:
        """Close the permanent connection, and with the last one the engine."""
        self._keeper.close()

    def _replace_default_database(self) -> None:
        """chdb's built-in `default` is an overlay over the file system: `SELECT * FROM '/etc/passwd'` reads it.

        A Memory database takes its place at every start; ours is `penstock`.
        """
        self._run(f"CREATE DATABASE IF NOT EXISTS {DATABASE} ENGINE = Atomic")
        self._run(f"USE {DATABASE}")
        if self._ask("SELECT engine FROM system.databases WHERE name = 'default'") != ["Memory"]:
            self._run("DROP DATABASE IF EXISTS default")
            self._run("CREATE DATABASE default ENGINE = Memory")

    def _run(self, sql: str) -> None:
        self._keeper.query(sql, "Null")

    def _ask(self, sql: str) -> list[str]:
        return str(self._keeper.query(sql, "TSVRaw").bytes().decode()).splitlines()


def quote(value: str) -> str:
    """`value` as a ClickHouse string literal."""
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
