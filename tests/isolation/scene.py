"""What surrounds one attack: a file outside, a process outside, servers outside, a workspace of its own."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any
from unittest.mock import patch

from tests.fixtures.outside import PORT, PUBLIC, Outside
from tests.isolation.guards import Guard
from tests.isolation.waiting import until

PROC = Path("/proc")


class Scene:
    """One attack's surroundings; use as a context manager, which leaves nothing of them.

    Args:
        base: folder everybody may enter; `outside` is made in it.
        workspace: the attack's folder, empty.
        uid: the slot's.
        quota: bytes of the workspace's file system.
    """

    def __init__(self, base: Path, workspace: Path, uid: int, quota: int = 0) -> None:
        self.base, self.workspace, self.uid, self.quota = base, workspace, uid, quota
        self.token = secrets.token_hex(8)
        self.secret = f"secret-{secrets.token_hex(12)}"
        self.closing = ExitStack()
        self.outside = Path(tempfile.mkdtemp(prefix="outside-", dir=base))
        self.canary = self.outside / "canary"
        self.canary.write_text(self.secret)
        self.canary.chmod(0o666)
        self.outside.chmod(0o777)
        self.binds: list[tuple[str, str]] = [(str(self.outside), str(self.outside))]
        """What is there when `Guard.PATHS` is away: (outside, inside)."""
        self.environment: dict[str, str] = {}
        """Added to the worker's environment."""
        self.descriptors: list[int] = []
        """Open in the worker, and inheritable."""
        self.groups: list[int] = []
        """The worker's own."""
        self.worker_stdin: int | None = None
        """What the worker has as its standard input."""
        self.cwd: Path | None = None
        """Where the worker is."""
        self.facts: dict[str, object] = {
            "token": self.token,
            "canary": str(self.canary),
            "outside": str(self.outside),
        }
        self.listening: dict[str, socket.socket] = {}
        self.victim: subprocess.Popen[bytes] | None = None
        self.victim_before: object = None
        self.peak_tasks = 0
        self.processes_allowed = self.memory_allowed = self.output_allowed = 0
        self.neighbour = self.all_workspaces = base
        self.neighbours_uid = uid
        self.neighbours_token = secrets.token_hex(8)
        self.neighbour_before: object = None
        self.away: frozenset[Guard] = frozenset()
        """The guards this run is without."""
        self.control = False
        """Whether those that the case is about are among them."""
        self.remove_workspace: Callable[[], None] = lambda: None
        """As the worker does it after an attempt."""
        self.make_neighbours: Callable[[str], Path] = lambda name: base
        """Another workspace of the neighbour, as its worker makes it."""
        self.remove_neighbours: Callable[[str], None] = lambda name: None
        self.sibling = base
        """Another workspace of the attack's own tenant."""
        self.extra: dict[str, Any] = {}
        """What a case's `prepare` keeps for its `escaped`."""

    def __enter__(self) -> Scene:
        return self

    def __exit__(self, *_: object) -> None:
        for pid in (
            self.processes() + self.neighbours_processes()
        ):  # of a control, and ours: their command line has the scene's token
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.closing.close()
        if self.victim is not None:
            self.victim.kill()
            self.victim.wait()
        for server in self.listening.values():
            server.close()
        for descriptor in self.descriptors:
            os.close(descriptor)
        until(lambda: not self.processes(), "the control's processes are gone")
        shutil.rmtree(self.outside, ignore_errors=True)

    def go_outside(self, network: Outside) -> None:
        """The host's network and the outside that this attack is among; of the outside one address answers it."""
        self.network = network
        network.take_heard()
        network.asked.clear()
        self.facts |= {"public": PUBLIC[0], "port": PORT}

    def ready(self) -> None:
        """Remember how things are: from here on only the attack changes them."""
        self.planted = sorted(path.name for path in self.outside.iterdir())
        self.canary_state = self.state_of_canary()
        self.victim_before = self.victim_state()
        self.neighbour_before = self.neighbours_state()

    @contextmanager
    def in_the_worker(self) -> Iterator[None]:
        """What this process has planted in it while it is the worker: variables, groups, standard input."""
        with ExitStack() as stack:
            stack.enter_context(patch.dict(os.environ, self.environment))
            if self.groups:
                stack.callback(os.setgroups, os.getgroups())
                os.setgroups(self.groups)
            if self.worker_stdin is not None:
                kept = os.dup(0)
                stack.callback(os.close, kept)
                stack.callback(os.dup2, kept, 0)
                os.dup2(self.worker_stdin, 0)
            for descriptor in self.descriptors:
                os.set_inheritable(descriptor, True)
            yield

    def show_all_workspaces(self) -> None:
        """The folder of all workspaces is what `Guard.PATHS` hides; the neighbour's has a file with the secret."""
        self.binds = [(str(self.all_workspaces), str(self.all_workspaces))]
        self.facts |= {"neighbour": str(self.neighbour), "base": str(self.all_workspaces)}
        kept = self.neighbour / "kept"
        kept.write_text(self.secret)
        os.chown(kept, self.neighbours_uid, self.neighbours_uid)

    def neighbours_state(self) -> object:
        return {
            str(path): (path.lstat().st_mode, path.lstat().st_size)
            for path in [self.neighbour, *sorted(self.neighbour.iterdir())]
        }

    def neighbours_processes(self) -> list[int]:
        return _carrying(self.neighbours_token)

    def state_of_canary(self) -> Mapping[str, object]:
        if not self.canary.exists():
            return {"exists": False}
        status = self.canary.stat()
        return {
            "content": self.canary.read_bytes(),
            "mode": oct(status.st_mode),
            "owner": status.st_uid,
            "links": status.st_nlink,
            "modified_ns": status.st_mtime_ns,
            "attributes": os.listxattr(self.canary),
        }

    def start_victim(self) -> int:
        """A process outside with the slot's own uid: only the view of processes protects it; its pid."""
        self.victim = subprocess.Popen(
            ["/bin/sleep", "300"],
            user=self.uid,
            group=self.uid,
            extra_groups=[],
            env={"VICTIM": self.secret},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        self.facts["victim"] = self.victim.pid
        until(lambda: b"sleep" in (PROC / str(self.victim.pid) / "cmdline").read_bytes(), "the victim runs")  # type: ignore[union-attr]
        return self.victim.pid

    def victim_state(self) -> object:
        if self.victim is None:
            return None
        if self.victim.poll() is not None:
            return f"dead ({self.victim.returncode})"
        pid = self.victim.pid
        state = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
        limits = (PROC / str(pid) / "limits").read_text()
        traced = [
            line for line in (PROC / str(pid) / "status").read_text().splitlines() if line.startswith("Tracer")
        ]
        return {
            "stopped": state[0] in "Tt",
            "nice": os.getpriority(os.PRIO_PROCESS, pid),
            "limits": limits,
            "by": traced,
        }

    def listen(self, name: str, family: int, kind: int, address: Any, *, fact: object = None) -> socket.socket:
        """A server outside; the attack finds its address in `facts[name]`."""
        server = socket.socket(family, kind)
        if isinstance(address, str) and address.startswith("/"):
            before = os.umask(0)
            server.bind(address)
            os.umask(before)
        else:
            server.bind(address)
        if kind != socket.SOCK_DGRAM:
            server.listen(8)
        server.setblocking(False)
        self.listening[name] = server
        at = server.getsockname()
        self.facts[name] = fact if fact is not None else list(at) if isinstance(at, tuple) else address
        return server

    def drain(self) -> dict[str, bytes]:
        """What the servers got, by name; a connection alone counts as something."""
        got = {}
        for name, server in self.listening.items():
            with suppress(BlockingIOError):
                if server.type == socket.SOCK_DGRAM:
                    got[name] = server.recv(4096) or b"(empty)"
                    continue
                connection, _ = server.accept()
                with connection:
                    connection.settimeout(2)
                    got[name] = b"(a connection)"
                    with suppress(OSError):
                        got[name] += connection.recv(4096)
        return got

    def processes(self) -> list[int]:
        """Processes of the attack, bwrap's included: of the slot's uid, or with the token in their command."""
        return [pid for pid in _carrying(self.token, self.uid) if self.victim is None or pid != self.victim.pid]

    def count_tasks(self) -> None:
        """Keep the highest number of threads the slot's uid has had at once, until the scene ends."""
        stop = threading.Event()

        def look() -> None:
            while not stop.wait(0.01):
                self.peak_tasks = max(self.peak_tasks, _tasks_of(self.uid))

        watching = threading.Thread(target=look, daemon=True)
        watching.start()
        self.closing.callback(watching.join)
        self.closing.callback(stop.set)

    def used_bytes(self, workspace: Path | None = None) -> int:
        """Bytes of the host's disk under the workspace."""
        return sum(path.lstat().st_blocks * 512 for path in _tree(workspace or self.workspace))

    def used_files(self) -> int:
        return sum(1 for _ in _tree(self.workspace))


def _tree(top: Path) -> list[Path]:
    return [Path(folder, name) for folder, folders, files in os.walk(top) for name in [*folders, *files]]


def _carrying(token: str, uid: int | None = None) -> list[int]:
    """Processes that have the token in their command line, or that user; no zombies, and not this one."""
    found = []
    for entry in os.scandir(PROC):
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with suppress(OSError):
                command = Path(entry.path, "cmdline").read_bytes()  # empty for a zombie
                if command and (entry.stat().st_uid == uid or token.encode() in command):
                    found.append(int(entry.name))
    return found


def _tasks_of(uid: int) -> int:
    """Threads of that user which live; the dead wait for the host's first process at their own pace."""
    count = 0
    for entry in os.scandir(PROC):
        if entry.name.isdigit():
            with suppress(OSError):
                if entry.stat().st_uid == uid:
                    state = Path(entry.path, "stat").read_text().rpartition(")")[2].split()[0]
                    count += len(os.listdir(f"{entry.path}/task")) if state not in "ZX" else 0
    return count
