"""`run.json`: what the supervisor last said about itself and its processes. `up`, `status` and `down` read it."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ValidationError

from penstock.errors import DataFolderDamaged
from penstock_services.embedded.atomic_file import write_atomically
from penstock_services.embedded.identity import ProcessIdentity, boot_id

Phase = Literal["starting", "running", "stopping", "failed"]
ProcessState = Literal["waiting", "starting", "healthy", "unhealthy", "restarting", "stopped"]


class Identity(BaseModel):
    """A process, told apart from later ones with its pid."""

    pid: int
    start_ticks: int

    @classmethod
    def of(cls, identity: ProcessIdentity) -> Identity:
        return cls(pid=identity.pid, start_ticks=identity.start_ticks)

    def process(self) -> ProcessIdentity:
        return ProcessIdentity(self.pid, self.start_ticks)


class ProcessReport(BaseModel):
    """One process of the stack."""

    name: str
    state: ProcessState = "waiting"
    detail: str = ""
    """Why it is not healthy, in a few words."""
    identity: Identity | None = None
    """Of its last run."""
    started_at_s: float | None = None
    """Unix time of its last start."""
    restarts: int = 0
    ports: dict[str, int] = {}
    log: str = ""


class StepReport(BaseModel):
    """One set-up step of the stack."""

    name: str
    state: Literal["waiting", "running", "done"] = "waiting"


class Failure(BaseModel):
    """Why a start ended: the error's class and message, to be raised again by whoever waits for it."""

    error: str
    message: str


class RunReport(BaseModel):
    """The whole stack at one moment."""

    supervisor: Identity
    boot_id: str
    started_at_s: float
    phase: Phase = "starting"
    processes: list[ProcessReport] = []
    steps: list[StepReport] = []
    failure: Failure | None = None

    def write(self, path: Path) -> None:
        write_atomically(path, self.model_dump_json(indent=2).encode())

    @classmethod
    def read(cls, path: Path) -> RunReport | None:
        """What the file says; None where there is none.

        Raises:
            DataFolderDamaged: it cannot be read.
        """
        try:
            return cls.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            return None
        except (ValidationError, OSError) as exc:
            raise DataFolderDamaged(
                f"{path} cannot be read ({type(exc).__name__}); delete it and try again"
            ) from exc

    def kill_left_over(self) -> list[int]:
        """SIGKILL whatever of this run still lives; gives the pids. Nothing of another boot is touched."""
        if self.boot_id != boot_id():
            return []
        sessions = [report.identity.process() for report in self.processes if report.identity is not None]
        return [pid for session in sessions for pid in session.kill_session()]
