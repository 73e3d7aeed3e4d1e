"""Shared fixtures: the real servers, started by the suite itself on free ports and stopped afterwards."""

from __future__ import annotations

from typing import Any

import pytest

from tests.second_run import SecondRuns
from tests.sharing import ByFile

pytest_plugins = [
    "tests.fixtures.kafka",
    "tests.fixtures.secured_kafka",
    "tests.fixtures.clickhouse",
    "tests.fixtures.sandbox",
    "tests.fixtures.tracing",
]


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(SecondRuns())


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByFile:
    return ByFile(config, log)
