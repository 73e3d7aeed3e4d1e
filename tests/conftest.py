"""Shared fixtures: the real servers, started by the suite itself on free ports and stopped afterwards."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.second_run import SecondRuns

pytest_plugins = [
    "tests.fixtures.kafka",
    "tests.fixtures.secured_kafka",
    "tests.fixtures.clickhouse",
    "tests.fixtures.sandbox",
    "tests.fixtures.tracing",
]
E2E = Path(__file__).parent / "e2e"


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(SecondRuns())


@pytest.hookimpl(tryfirst=True)  # before the plugin that reads the marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Where processes share the tests, a file stays in one, and so does all that asks the one whole stack."""
    for item in items:
        group = E2E if E2E in item.path.parents else item.path
        item.add_marker(pytest.mark.xdist_group(str(group)))
