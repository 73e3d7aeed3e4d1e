"""How far a process has read, as a lag for Prometheus, and whether it has stopped getting on."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition
from prometheus_client import REGISTRY
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector


class Standing(NamedTuple):
    """Where one input partition is."""

    consumer: str
    """Stage or process."""
    topic: str
    partition: int
    position: int
    """The offset it has finished before."""
    behind: int
    """Offsets between there and the end of the log as last seen; transaction markers count."""
    paused: bool = False
    """Whether it reads nothing on purpose."""


Standings = Callable[[], Iterable[Standing]]


def read_up_to(consumer: AIOKafkaConsumer) -> Iterator[tuple[TopicPartition, int, int]]:
    """Partition, next offset and known end of each partition that `consumer` has read from; asks nobody.

    aiokafka's `position` waits where there is none yet, so its state is read here; the version is pinned.
    """
    subscription = consumer._subscription.subscription
    assignment = None if subscription is None else subscription.assignment
    if assignment is None:
        return
    for partition in assignment.tps:
        state = assignment.state_value(partition)
        if state is not None and state.has_valid_position and state.highwater is not None:
            yield partition, state.position, max(state.highwater, state.position)


class StallWatch:
    """Tells when a partition has something to read and does not get on. Compares what it is shown over time.

    Args:
        limit_s: how long that may be.
    """

    def __init__(self, limit_s: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._limit_s = limit_s
        self._monotonic = monotonic
        self._since: dict[tuple[str, str, int], tuple[int, float]] = {}

    def stalled(self, standings: Iterable[Standing]) -> str | None:
        """Which partitions have not moved for too long though there is lag; None where all get on."""
        now, since, stuck = self._monotonic(), self._since, []
        self._since = {}
        for standing in standings:
            if standing.paused or standing.behind <= 0:
                continue
            key = standing[:3]
            position, first_s = since.get(key, (-1, now))
            if position != standing.position:
                first_s = now
            self._since[key] = standing.position, first_s
            if now - first_s > self._limit_s:
                where = f"{standing.consumer} {standing.topic}/{standing.partition}"
                stuck.append(
                    f"{where} stands at {standing.position} for {now - first_s:.0f} s, {standing.behind} behind"
                )
        return f"consumption stalls: {'; '.join(stuck)}" if stuck else None


class _LagCollector(Collector):
    """Asks for the lag at each scrape, so that the processes that read do nothing for it."""

    def __init__(self) -> None:
        self.sources: list[Standings] = []

    def collect(self) -> Iterator[Metric]:
        lag = GaugeMetricFamily(
            "penstock_consumer_lag", "Offsets not processed yet", labels=["consumer", "topic", "partition"]
        )
        position = GaugeMetricFamily(
            "penstock_consumer_position", "Offset processed up to", labels=["consumer", "topic", "partition"]
        )
        for source in self.sources:
            for standing in source():
                labels = [standing.consumer, standing.topic, str(standing.partition)]
                lag.add_metric(labels, standing.behind)
                position.add_metric(labels, standing.position)
        yield lag
        yield position


_collector = _LagCollector()
REGISTRY.register(_collector)


@contextmanager
def lag_shown(standings: Standings) -> Iterator[None]:
    """Show `standings` as `penstock_consumer_lag` and `penstock_consumer_position` while the body runs."""
    _collector.sources.append(standings)
    try:
        yield
    finally:
        _collector.sources.remove(standings)
