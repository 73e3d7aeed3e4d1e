"""Every Faust internal the kit touches, and nothing else does. Checked against the pinned versions at start-up.

Faust gives group membership, the co-partitioning assignor, the app and the naming of changelogs. It never
reads, acknowledges or commits a task's inputs: its own consumer holds partitions, all of them paused.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

import aiokafka
import faust
from aiokafka import TopicPartition
from aiokafka.producer import sender as aiokafka_sender
from faust.transport.drivers import aiokafka as driver

from penstock.settings import KafkaSettings
from penstock_streams.kit.api import Stage
from penstock_streams.kit.errors import MembershipLost, UnsupportedFaust
from penstock_streams.kit.settings import StreamsSettings
from penstock_streams.kit.store import made

TESTED = {"faust-streaming": (faust, "0.15.3"), "aiokafka": (aiokafka, "0.14.0")}
MARKER_WAIT = "BACKOFF_OVERRIDE"
"""aiokafka's constant: 20 ms."""
MARKER_WAIT_S = 0.002
"""Markers take the broker some milliseconds. With aiokafka's wait, transactions back to back take 25 ms each
instead of 5 (`bench/transactions.py`, decision 0013)."""
POLL_MS = 1_000
COMMITTED_WITHIN_S = 5.0
POLLED_WITHIN_S = 300.0
"""Without a poll for this long aiokafka leaves the group, and joins again only at the next one."""
Partitions = frozenset[tuple[str, int]]
"""Topic and partition, of the stages' inputs."""


def check_faust() -> None:
    """The versions and internals this module was written for.

    Raises:
        UnsupportedFaust: names what differs.
    """
    for name, (module, tested) in TESTED.items():
        if module.__version__ != tested:
            raise UnsupportedFaust(f"{name} is {module.__version__}, the kit was tested with {tested}: pin it")
    needed: dict[Any, dict[str, tuple[str, ...]]] = {
        faust.App: {"_new_transport": ("self",)},
        driver.Consumer: {
            "on_partitions_revoked": ("self", "revoked"),
            "on_partitions_assigned": ("self", "assigned", "generation_id"),
            "_getmany": ("self", "active_partitions", "timeout"),
            "highwaters": ("self", "partitions"),
            "seek_to_committed": ("self",),
            "verify_event_path": ("self", "now", "tp"),
        },
        driver.AIOKafkaConsumerThread: {
            "_ensure_consumer": ("self",),
            "call_thread": ("self", "fun", "args", "kwargs"),
        },
    }
    for owner, methods in needed.items():
        for method, parameters in methods.items():
            found = getattr(owner, method, None)
            if found is None or tuple(inspect.signature(found).parameters) != parameters:
                raise UnsupportedFaust(f"{owner.__name__}.{method}{parameters} is not what this Faust has")
    if not hasattr(aiokafka_sender, MARKER_WAIT):
        raise UnsupportedFaust(f"aiokafka.producer.sender.{MARKER_WAIT} is not what this aiokafka has")


def ask_for_markers_again_after(seconds: float) -> None:
    """How long producers of this process wait while the markers of their last transaction are being written."""
    setattr(aiokafka_sender, MARKER_WAIT, seconds)


class _IdleConsumer(driver.Consumer):
    """Holds the group membership and reports assignments; reads nothing."""

    app: _App

    async def on_partitions_revoked(self, revoked: set[Any]) -> None:
        await self.app.membership.revoked()
        await super().on_partitions_revoked(revoked)

    async def on_partitions_assigned(self, assigned: set[Any], generation_id: int = 0) -> None:
        reader = self._thread._ensure_consumer()
        self._thread.thread_loop.call_soon_threadsafe(reader.pause, *reader.assignment())
        await self.app.membership.assigned(assigned)
        await super().on_partitions_assigned(assigned, generation_id)

    async def _getmany(self, active_partitions: Any, timeout: float) -> Any:
        """Poll for nothing: a member that does not poll for `POLLED_WITHIN_S` leaves its group and stays away."""
        await self._thread.call_thread(self._thread._ensure_consumer().getmany, timeout_ms=POLL_MS)
        return {}

    async def commit_at_once(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Not by Faust's commit, which crashes the app on any error, nor in its queue, which this could block."""
        reader = self._thread._ensure_consumer()
        committing = asyncio.run_coroutine_threadsafe(reader.commit(dict(offsets)), self._thread.thread_loop)
        await asyncio.wait_for(asyncio.wrap_future(committing), COMMITTED_WITHIN_S)

    async def highwaters(self, *partitions: Any) -> Any:
        """Nothing for Faust to recover: the tasks do it."""
        return dict.fromkeys(partitions, 0)

    async def seek_to_committed(self) -> Any:
        return {}

    def verify_event_path(self, now: float, tp: Any) -> None:
        """No alarm about partitions Faust does not read."""


class _Transport(driver.Transport):
    Consumer = _IdleConsumer


class _App(faust.App):
    membership: Membership

    def _new_transport(self) -> Any:
        return _Transport(self.conf.broker_consumer, self)


class Membership:
    """This process in the consumer group: which input partitions are its own.

    Args:
        on_assigned: called with all of them after each rebalance.
        on_revoked: called before each rebalance; the group waits for it.
    """

    def __init__(
        self,
        stages: Iterable[Stage],
        partitions: Callable[[str], int],
        settings: StreamsSettings,
        kafka: KafkaSettings,
        on_assigned: Callable[[Partitions], Awaitable[None]],
        on_revoked: Callable[[], Awaitable[None]],
    ) -> None:
        check_faust()
        ask_for_markers_again_after(MARKER_WAIT_S)
        self._on_assigned = on_assigned
        self.revoked = on_revoked
        self._app = app = _App(
            settings.app_id,
            broker=[f"kafka://{server.strip()}" for server in kafka.bootstrap_servers.split(",")],
            broker_credentials=_credentials(kafka),
            broker_session_timeout=settings.session_timeout_s,
            broker_heartbeat_interval=settings.session_timeout_s / 6,
            broker_rebalance_timeout=30.0,
            broker_max_poll_interval=POLLED_WITHIN_S,
            store="memory://",
            datadir=str(made(settings.data_dir / "faust")),  # it makes empty folders there
            stream_recovery_delay=0.0,
            stream_wait_empty=False,
            recovery_consistency_check=False,
            topic_allow_declare=False,
            topic_disable_leader=True,
            web_enabled=False,
            autodiscover=False,
        )
        app.membership = self
        self._topics = {topic.name for stage in stages for topic in stage.inputs}
        for stage in stages:
            count = partitions(stage.inputs[0].name)
            # Declares the changelog, and makes Faust use its co-partitioning assignor. Rows lie in kit.store.
            app.Table(stage.name, partitions=count)
        for name in sorted(self._topics):
            app.agent(app.topic(name, value_serializer="raw"), name=f"subscription.{name}")(_refuse)

    async def assigned(self, partitions: set[Any]) -> None:
        await self._on_assigned(
            frozenset((tp.topic, tp.partition) for tp in partitions if tp.topic in self._topics)
        )

    async def start(self) -> None:
        """Join the group; assignments follow."""
        self._app.finalize()
        await self._app.start()

    async def stop(self) -> None:
        """Leave the group."""
        await self._app.stop()

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Commit offsets of assigned partitions for the group.

        Raises:
            Exception: any, of the broker, the membership or for want of time.
        """
        consumer: Any = self._app.consumer
        await consumer.commit_at_once(offsets)

    async def lost(self) -> MembershipLost:
        """Wait until Faust gives up; the reason why."""
        await self._app.wait_until_stopped()
        return MembershipLost(f"Faust stopped: {self._app.crash_reason!r}")


async def _refuse(stream: Any) -> None:
    """Holds the subscription. A record that came this way would be processed twice."""
    async for _ in stream.noack():
        raise AssertionError("Faust delivered a record of a task's input")


def _credentials(kafka: KafkaSettings) -> Any:
    options = kafka.client_options()
    context = options.get("ssl_context")
    if kafka.security_protocol.startswith("SASL"):
        return faust.SASLCredentials(
            mechanism=kafka.sasl_mechanism,
            username=options["sasl_plain_username"],
            password=options["sasl_plain_password"],
            ssl_context=context,
        )
    return faust.SSLCredentials(context) if context is not None else None
