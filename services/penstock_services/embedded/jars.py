"""The broker's and the registry's Java files: resolved once by Maven from the pinned `pom.xml`, then cached.

The cache holds one folder per content of `pom.xml`, complete or absent: Maven writes into a folder beside it, a
marker is added, and a rename makes it appear. Concurrent callers wait for one another on a file lock.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from penstock.errors import StackError
from penstock_services.embedded.java import Java, find_java, find_maven

Report = Callable[[str], None]
"""Takes one line of progress."""

_POM = files(__package__) / "pom.xml"
_MARKER = "complete"
_RUNNER = "*-runner.jar"


@dataclass(frozen=True, slots=True)
class JavaServers:
    """Where the Java files of the embedded stack are."""

    folder: Path

    @property
    def kafka_classpath(self) -> str:
        return f"{self.folder / 'kafka'}/*"

    @property
    def registry_jar(self) -> Path:
        return next((self.folder / "apicurio").glob(_RUNNER))


def cache_folder() -> Path:
    """Where downloads are kept between runs: `PENSTOCK_CACHE`, else `~/.cache/penstock`."""
    return Path(os.environ.get("PENSTOCK_CACHE") or Path.home() / ".cache" / "penstock")


def cached_java_servers() -> JavaServers | None:
    """The files if an earlier run left them complete; never fetches."""
    found = _target(cache_folder())
    return JavaServers(found) if (found / _MARKER).exists() else None


def java_servers(report: Report = lambda line: None) -> JavaServers:
    """The files, fetched by Maven on first use (about 170 MB; blocks for as long as that takes).

    Raises:
        JavaMissing: Java or Maven are needed to fetch and not there.
        StackError: Maven could not fetch; the message has its reason.
    """
    if cached := cached_java_servers():
        return cached
    target = _target(cache_folder())
    target.parent.mkdir(parents=True, exist_ok=True)
    with locked(target.with_suffix(".lock"), report):
        if (target / _MARKER).exists():  # another caller fetched while this one waited
            return JavaServers(target)
        shutil.rmtree(target, ignore_errors=True)
        partial = target.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        (partial / "pom.xml").write_bytes(_POM.read_bytes())
        _run_maven(partial, find_java(), report)
        if not any((partial / "kafka").glob("*.jar")) or not any((partial / "apicurio").glob(_RUNNER)):
            raise StackError(f"Maven ended well but left no broker or no registry in {partial}")
        (partial / _MARKER).touch()
        partial.rename(target)
    return JavaServers(target)


def _target(cache: Path) -> Path:
    return cache / f"java-servers-{hashlib.sha256(_POM.read_bytes()).hexdigest()[:16]}"


@contextmanager
def locked(path: Path, report: Report) -> Iterator[None]:
    """Hold the lock file at `path` while the body runs, waiting for whoever holds it now."""
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            report("waiting for another penstock that fetches the same")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _run_maven(folder: Path, java: Java, report: Report) -> None:
    argv = [str(find_maven()), "--batch-mode", "--strict-checksums", "-f", str(folder / "pom.xml"), "initialize"]
    env = os.environ | {"JAVA_HOME": str(java.binary.resolve().parent.parent)}
    fetched, tail = 0, deque[str](maxlen=200)
    with subprocess.Popen(
        argv, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as maven:
        assert maven.stdout is not None
        for line in maven.stdout:
            tail.append(line.rstrip())
            if "Downloaded from" in line:
                fetched += 1
                report(f"fetching the broker and the registry, once: {fetched} files")
    if maven.returncode != 0:
        reasons = [line for line in tail if line.startswith("[ERROR]") and len(line) > len("[ERROR] ")]
        raise StackError(
            f"Maven (exit {maven.returncode}) could not fetch the broker and the registry; check the network and "
            f"Maven's own settings.xml. It said:\n  " + "\n  ".join((reasons or list(tail))[:3])
        )
