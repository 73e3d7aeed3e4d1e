"""Shared fixtures: the real servers, started by the suite itself on free ports and stopped afterwards."""

pytest_plugins = ["tests.fixtures.kafka", "tests.fixtures.clickhouse", "tests.fixtures.tracing"]
