"""Make the declared topics exist on a cluster, and refuse a cluster that has them with other partition counts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, UnknownTopicOrPartitionError, for_code

from penstock.errors import ContractError, InvalidInput, KafkaUnreachable
from penstock.permissions import MISSING_RIGHTS, not_permitted
from penstock.settings import KafkaSettings
from penstock_schemas.topics import Topic

MAX_MESSAGE_BYTES = 1024 * 1024
"""Largest batch a topic takes. Records stay below `MAX_RECORD_BYTES`, so that one with its framing always fits."""
_MOST_REPLICAS = 3
_UNKNOWN_TOPIC = UnknownTopicOrPartitionError.errno
_LEADERS_WITHIN_S = 30.0


async def apply_topics(
    settings: KafkaSettings,
    topics: Iterable[Topic],
    partitions: int | None = None,
    *,
    replication: int | None = None,
) -> list[str]:
    """Create the topics that do not exist yet; idempotent, also against another process doing the same.

    Args:
        partitions: the same count for every topic; None takes each topic's declared count.
        replication: brokers that hold each new topic; None takes three, or all where there are fewer now.

    Returns:
        The names of the topics this call created, once every one of `topics` has leaders for all its partitions.

    Raises:
        InvalidInput: a topic is missing, and `replication` is more than there are brokers now. Nothing was
            created.
        ContractError: a topic exists with another partition count. Records are routed by key hash modulo the
            count: under a changed one, what is already there would be in the wrong place. Nothing was created.
        KafkaUnreachable: no broker answered, or partitions have no leaders after 30 s.
    """
    wanted = {topic.name: partitions or topic.partitions for topic in topics}
    retention_s = {topic.name: topic.retention_s for topic in topics}
    async with kafka_admin(settings) as admin:
        existing = await _partition_counts(admin, list(wanted))
        _refuse_changed_counts(wanted, existing)
        missing = {name: count for name, count in wanted.items() if name not in existing}
        created: list[str] = []
        if missing:
            replicas = _replicas(replication, len((await admin.describe_cluster())["brokers"]))
            new = [
                NewTopic(name, count, replicas, topic_configs=_topic_settings(retention_s[name]))
                for name, count in missing.items()
            ]
            created = await _create(admin, new)
        await _until_led(admin, wanted)
    return created


@asynccontextmanager
async def kafka_admin(settings: KafkaSettings) -> AsyncIterator[AIOKafkaAdminClient]:
    """An admin client; what Kafka itself refuses or fails at inside the body becomes `KafkaUnreachable`.

    Raises:
        NotPermitted: this user lacks a right.
        KafkaUnreachable: no broker answers at `settings.bootstrap_servers`.
    """
    admin = AIOKafkaAdminClient(**settings.client_options())
    try:
        await admin.start()
        yield admin
    except MISSING_RIGHTS as exc:
        raise not_permitted(settings, "administrating topics and groups", exc) from exc
    except KafkaError as exc:
        raise KafkaUnreachable(
            f"Kafka at {settings.bootstrap_servers} did not do what was asked ({type(exc).__name__}: {exc}); "
            "check PENSTOCK_KAFKA_BOOTSTRAP_SERVERS and that the broker runs"
        ) from exc
    finally:
        await admin.close()


def _replicas(wanted: int | None, brokers: int) -> int:
    if wanted is None:
        return min(_MOST_REPLICAS, brokers)
    if wanted > brokers:
        raise InvalidInput(
            f"PENSTOCK_REPLICATION {wanted}: only {brokers} brokers can be reached now, and a topic "
            "keeps the copies that it is made with. Start the others, or ask for fewer"
        )
    return wanted


def _topic_settings(retention_s: int) -> dict[str, str]:
    return {
        "retention.ms": str(retention_s * 1000),
        # The broker's clock: a producer's clock five days off must not let records expire early or never.
        "message.timestamp.type": "LogAppendTime",
        "max.message.bytes": str(MAX_MESSAGE_BYTES),
    }


def _refuse_changed_counts(wanted: dict[str, int], existing: dict[str, int]) -> None:
    changed = [
        f"{name} has {count} and should have {wanted[name]}"
        for name, count in existing.items()
        if count not in (0, wanted[name])
    ]
    if changed:
        raise ContractError(
            f"partition counts never change under data: {'; '.join(changed)}. "
            "Set PENSTOCK_PARTITIONS back to what the cluster has, or use a cluster without these topics"
        )


async def _partition_counts(admin: AIOKafkaAdminClient, names: list[str]) -> dict[str, int]:
    """Partitions of those topics that exist; 0 while a topic is being created and its leaders are not known."""
    described: list[dict[str, Any]] = await admin.describe_topics(names)
    return {topic["topic"]: _led_partitions(topic) for topic in described if topic["error_code"] != _UNKNOWN_TOPIC}


def _led_partitions(described: dict[str, Any]) -> int:
    partitions = described["partitions"]
    return len(partitions) if all(partition["leader"] >= 0 for partition in partitions) else 0


async def _create(admin: AIOKafkaAdminClient, topics: list[NewTopic]) -> list[str]:
    answer = await admin.create_topics(topics)
    created = []
    for name, code, message in answer.topic_errors:
        error = for_code(code)
        if code == 0:
            created.append(name)
        elif error is not TopicAlreadyExistsError:  # another process was first: its count is checked below
            raise error(f"topic {name}: {message}")
    return created


async def _until_led(admin: AIOKafkaAdminClient, wanted: dict[str, int]) -> None:
    deadline = time.monotonic() + _LEADERS_WITHIN_S
    while (counts := await _partition_counts(admin, list(wanted))) != wanted:
        _refuse_changed_counts(wanted, counts)
        if time.monotonic() > deadline:
            waiting = sorted(name for name, count in wanted.items() if counts.get(name) != count)
            raise KafkaUnreachable(f"no leaders after {_LEADERS_WITHIN_S:.0f} s for: {', '.join(waiting)}")
        await asyncio.sleep(0.05)
