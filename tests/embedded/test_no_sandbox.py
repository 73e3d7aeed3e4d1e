"""A stack on a host that cannot hold the sandbox starts all the same, and its worker runs no commands."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from penstock_services.embedded.addresses import address_settings
from penstock_services.embedded.jars import java_servers
from penstock_services.embedded.java import find_java
from penstock_services.embedded.ports import port_uses
from penstock_services.embedded.stack import WORKER_TIERS, embedded_stack, why_no_commands
from penstock_services.embedded.state import Layout, StateFolder


def environment_of_worker(folder: Path) -> dict[str, str]:
    ports = {use.name: 20_000 + number for number, use in enumerate(port_uses())}
    layout = Layout(partitions=4, ports=ports)
    state = StateFolder(folder)
    addresses = address_settings(state, layout)
    stack = embedded_stack(state, layout, addresses, find_java(), java_servers(), servers_only=False)
    (worker,) = (process for process in stack.processes if process.name == "worker")
    return dict(worker.env)


def test_without_root_the_worker_is_told_to_serve_no_tier(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(WORKER_TIERS, raising=False)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert environment_of_worker(tmp_path)[WORKER_TIERS] == ""
    assert (reason := why_no_commands()) is not None
    assert reason.startswith("sandboxes need root")


def test_control_with_root_it_serves_its_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(WORKER_TIERS, raising=False)
    assert WORKER_TIERS not in environment_of_worker(tmp_path)
    assert why_no_commands() is None


def test_what_the_operator_asked_for_is_not_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(WORKER_TIERS, "free")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert WORKER_TIERS not in environment_of_worker(tmp_path)  # it inherits the operator's, and refuses to start
    assert why_no_commands() is None
