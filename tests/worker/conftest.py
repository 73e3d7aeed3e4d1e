"""Agents for these tests, a broker of their own, and a scripted lease authority."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from penstock.settings import ArtifactSettings, KafkaSettings, RegistrySettings
from penstock_consumers.worker.settings import WorkerSettings
from penstock_consumers.worker.worker import Worker
from penstock_schemas.codec import Codec
from penstock_schemas.registry import SchemaRegistry
from penstock_schemas.topics import all_topics
from penstock_services.topic_admin import apply_topics
from tests.fixtures.agents import python_path_with_agents
from tests.fixtures.kafka import own_kafka
from tests.worker.lease_authority import QUEUE, LeaseAuthority, Platform, running


@pytest.fixture(scope="session", autouse=True)
def agents_on_path(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Slot processes find the test agents on their path."""
    site = tmp_path_factory.mktemp("site")
    patch = pytest.MonkeyPatch()
    patch.setenv("PYTHONPATH", python_path_with_agents(site))
    yield site
    patch.undo()


@pytest.fixture(scope="session")
async def platform(tmp_path_factory: pytest.TempPathFactory, registry_url: str) -> AsyncIterator[Platform]:
    """A broker with the declared topics (theirs are fixed names, so not the shared one) and their schemas."""
    folder = tmp_path_factory.mktemp("worker")
    topics = all_topics((QUEUE,)).values()
    async with own_kafka(folder) as kafka, SchemaRegistry(registry_url) as registry:
        settings = KafkaSettings(bootstrap_servers=kafka.bootstrap)
        await apply_topics(settings, topics, 3)
        await registry.register_all(topics)
        yield Platform(settings, RegistrySettings(url=registry_url), Codec(registry), folder / "artifacts")


@pytest.fixture
async def authority(platform: Platform) -> AsyncIterator[LeaseAuthority]:
    async with LeaseAuthority(platform) as authority:
        yield authority


@pytest.fixture
def start_worker(platform: Platform):
    """A worker in this process; leaving it drains at once."""

    @asynccontextmanager
    async def start(**settings: object) -> AsyncIterator[Worker]:
        quick = {"queues": (QUEUE,), "concurrency": 2, "heartbeat_s": 0.2, "lease_margin_s": 0.3, "drain_s": 0.0}
        quick |= {"tiers": ()}  # trying the sandboxes takes a second; tests/worker/test_sandbox.py does
        worker = Worker(
            WorkerSettings(**quick | settings),
            platform.kafka,
            platform.registry,
            ArtifactSettings(url=str(platform.artifacts)),
        )
        async with running(worker):
            yield worker

    return start
