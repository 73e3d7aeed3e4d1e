"""The state folder: what is where in it, whose it is, and whether the stack may start on it.

`layout.json` makes a folder ours. It is written before anything else but the lock, by a rename; so a folder
without it holds either nothing yet, or somebody else's files, or the remains of something that went wrong.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from penstock.errors import DataFolderDamaged, DiskFull, InvalidInput
from penstock_services.embedded.atomic_file import write_atomically
from penstock_services.embedded.brokers import MOST_BROKERS, broker_names

LAYOUT_VERSION = 1
DEFAULT_PARTITIONS = 4
"""Small on purpose: with many partitions each transaction of a small load holds next to nothing."""
_DEFAULT_MIN_FREE_MB = 2048
_NOT_YET_OURS = {"lock", "layout.json.new"}
"""What an interrupted creation leaves."""


class Layout(BaseModel):
    """What was decided when the folder was made, or at its last start."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: int = LAYOUT_VERSION
    partitions: int = Field(default=DEFAULT_PARTITIONS, ge=1)
    brokers: Literal[1, 3] = 1
    cluster_id: str | None = None
    """Which cluster several brokers form; one alone makes up its own."""
    ports: dict[str, int] = {}
    """By use; kept so that clients find the next start where the last one was."""


@dataclass(frozen=True, slots=True)
class StateFolder:
    """Paths inside a state folder, and the checks before using it."""

    path: Path

    @property
    def lock_file(self) -> Path:
        return self.path / "lock"

    @property
    def layout_file(self) -> Path:
        return self.path / "layout.json"

    @property
    def run_file(self) -> Path:
        return self.path / "run.json"

    @property
    def stack_env(self) -> Path:
        return self.path / "stack.env"

    @property
    def clickhouse_password(self) -> Path:
        return self.path / "clickhouse.password"

    @property
    def clickhouse_reader_password(self) -> Path:
        return self.path / "clickhouse-reader.password"

    @property
    def clickhouse(self) -> Path:
        return self.path / "clickhouse"

    @property
    def artifacts(self) -> Path:
        return self.path / "artifacts"

    def broker(self, name: str) -> Path:
        return self.path / name

    def log_of(self, process: str) -> Path:
        return self.path / "logs" / f"{process}.log"

    def exists(self) -> bool:
        """Whether there is anything here at all."""
        return self.path.exists() and any(self.path.iterdir())

    def refuse_foreign(self) -> None:
        """Check that the folder is ours or empty, without writing to it.

        Raises:
            DataFolderDamaged: it holds other files, or ours without the file that says what they are.
        """
        if self.path.exists() and not self.path.is_dir():
            raise DataFolderDamaged(f"{self.path} is a file; set PENSTOCK_HOME to a folder")
        if self.layout_file.exists() or not self.exists():
            return
        found = {entry.name for entry in self.path.iterdir()}
        if found <= _NOT_YET_OURS:
            return
        if "lock" in found:
            raise DataFolderDamaged(
                f"{self.path} has data but no {self.layout_file.name}: something removed part of it. Restore the "
                "folder from a copy, or start over with `penstock down --purge`, which deletes it"
            )
        raise DataFolderDamaged(
            f"{self.path} is not a state folder of penstock (it holds {', '.join(sorted(found)[:3])}); "
            "set PENSTOCK_HOME to a new folder"
        )

    def layout(self) -> Layout | None:
        """What `layout.json` says; None in a folder that is new.

        Raises:
            DataFolderDamaged: it cannot be read, or another version of penstock wrote it.
        """
        try:
            found = Layout.model_validate_json(self.layout_file.read_bytes())
        except FileNotFoundError:
            return None
        except (ValidationError, OSError) as exc:
            raise DataFolderDamaged(
                f"{self.layout_file} cannot be read ({type(exc).__name__}). Restore it from a copy, or start over "
                "with `penstock down --purge`, which deletes the folder"
            ) from exc
        if found.version != LAYOUT_VERSION:
            raise DataFolderDamaged(
                f"{self.path} has layout version {found.version}, this penstock knows {LAYOUT_VERSION}; use the "
                "penstock that made it, or another folder by PENSTOCK_HOME"
            )
        return found

    def save_layout(self, layout: Layout) -> None:
        """Write `layout.json`, whole or not at all."""
        write_atomically(self.layout_file, layout.model_dump_json(indent=2).encode())

    def refuse_half_written(self) -> None:
        """Check that each broker's data is whole enough for the broker to judge the rest.

        Raises:
            DataFolderDamaged: there are topics' folders without the file that says whose they are.
        """
        for name in broker_names(MOST_BROKERS):
            _refuse_topics_without_owner(self.broker(name) / "data")

    def require_free_space(self) -> None:
        """Check the free space under the folder (`PENSTOCK_MIN_FREE_MB`, default 2048).

        Raises:
            DiskFull: too little; says how much there is.
            InvalidInput: the setting is not a number.
        """
        needed_mb = min_free_mb()
        free_mb = free_space_mb(self.path)
        if free_mb < needed_mb:
            raise DiskFull(
                f"{free_mb} MB free under {self.path}, and the stack wants {needed_mb} MB to start: Kafka and "
                "ClickHouse lose data when a disk fills. Free some, set PENSTOCK_HOME to another disk, or lower "
                "PENSTOCK_MIN_FREE_MB"
            )


def min_free_mb() -> int:
    """The free space the stack wants before it starts, in megabytes of 10^6 bytes.

    Raises:
        InvalidInput: `PENSTOCK_MIN_FREE_MB` is not a number.
    """
    text = os.environ.get("PENSTOCK_MIN_FREE_MB", str(_DEFAULT_MIN_FREE_MB))
    if not text.isdigit():
        raise InvalidInput(f"PENSTOCK_MIN_FREE_MB {text!r} is not a number of megabytes")
    return int(text)


def free_space_mb(path: Path) -> int:
    """Free space on the disk that holds `path`, or will once it exists."""
    existing = next(folder for folder in (path, *path.parents) if folder.exists())
    return shutil.disk_usage(existing).free // 1_000_000


def _refuse_topics_without_owner(data: Path) -> None:
    if not data.exists() or (data / "meta.properties").exists():
        return
    if any(entry.is_dir() and entry.name.rpartition("-")[2].isdigit() for entry in data.iterdir()):
        raise DataFolderDamaged(
            f"{data} has topics but no meta.properties: Kafka would start empty beside them. Restore "
            "the folder from a copy, or start over with `penstock down --purge`, which deletes it"
        )
