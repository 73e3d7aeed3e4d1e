"""What a task is put together from."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from aiokafka import TopicPartition

from penstock_schemas.codec import Codec
from penstock_streams.kit.batch import TaskFacts
from penstock_streams.kit.inputs import TaskInputs
from penstock_streams.kit.producer import TransactionalProducer
from penstock_streams.kit.settings import StreamsSettings
from penstock_streams.kit.store import Store


@dataclass(frozen=True, slots=True)
class TaskParts:
    """What a task works with; all of it its own, except codec and store, which outlive it."""

    facts: TaskFacts
    settings: StreamsSettings
    codec: Codec
    store: Store
    producer: TransactionalProducer
    inputs: TaskInputs
    client_options: Mapping[str, Any]
    committed: Callable[[], Awaitable[Mapping[TopicPartition, int]]]
    """Asks for the group's committed offsets."""
    clock: Callable[[], int]
    recover: Callable[..., Awaitable[int]]
    """Brings the store up to its changelog: `recovery.catch_up`."""
    set_clock: Callable[[Callable[[], Awaitable[None]]], Awaitable[None]] | None = None
    """Sets `clock`, where it is not set yet, by what it is given: the commit of an empty batch."""
    monotonic: Callable[[], float] = time.monotonic
    """Seconds; what a new owner's grace is measured on."""
