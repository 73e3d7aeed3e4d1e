"""Reaching Kafka at start, with one clear line while it is away."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from penstock.errors import KafkaUnreachable
from penstock.permissions import MISSING_RIGHTS, not_permitted
from penstock.settings import KafkaSettings

log = logging.getLogger("penstock.worker")
T = TypeVar("T")

FETCH_WAIT_MS = 100
"""How long a broker holds a fetch that finds nothing; bounds how late a partition joins the next fetch."""
RETRY_PAUSE_S = 0.5


def new_producer(settings: KafkaSettings) -> AIOKafkaProducer:
    """An idempotent producer for the worker's many small records.

    `request_timeout_ms` is also how long a record may wait for its acknowledgement: a broker that restarts is
    waited out, a longer outage has cost every lease anyway.
    """
    return AIOKafkaProducer(
        **settings.client_options(),
        acks="all",
        enable_idempotence=True,
        linger_ms=2,
        max_request_size=1024 * 1024,
        request_timeout_ms=60_000,
        retry_backoff_ms=20,
    )


async def reach(what: str, settings: KafkaSettings, wait_s: float, ask: Callable[[], Awaitable[T]]) -> T:
    """The answer of `ask`, asked again while Kafka is away.

    Raises:
        NotPermitted: this user lacks a right.
        KafkaUnreachable: for longer than `wait_s`.
    """
    deadline = asyncio.get_running_loop().time() + wait_s
    said = False
    while True:
        try:
            return await ask()
        except MISSING_RIGHTS as exc:  # waiting does not help
            raise not_permitted(settings, what, exc) from exc
        except (KafkaError, OSError) as exc:
            where = f"Kafka at {settings.bootstrap_servers} (PENSTOCK_KAFKA_BOOTSTRAP_SERVERS)"
            if asyncio.get_running_loop().time() > deadline:
                raise KafkaUnreachable(
                    f"{where}: {what} failed for {wait_s:g} s: {exc!r}; is it running?"
                ) from exc
            if not said:
                log.warning("%s: %s failed (%r); waiting up to %g s", where, what, exc, wait_s)
                said = True
            await asyncio.sleep(RETRY_PAUSE_S)
