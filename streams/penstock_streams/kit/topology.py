"""What the cluster says about a stage's topics, read once at start-up, and the changelogs it needs created."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, UnknownTopicOrPartitionError, for_code

from penstock.settings import KafkaSettings
from penstock_schemas.topics import DEAD_LETTERS, MAX_RECORD_BYTES
from penstock_services.topic_admin import kafka_admin
from penstock_streams.kit.api import Stage
from penstock_streams.kit.deadletters import KEPT_BYTES
from penstock_streams.kit.errors import PartitionCountMismatch, TopicMissing, TopicUnfit
from penstock_streams.kit.settings import StreamsSettings

RECORD_OVERHEAD_BYTES = 512
"""Batch and record framing around one record's key, value and headers; generous."""
MOST_DEAD_LETTER_BYTES = 4 * KEPT_BYTES
MOST_REPLICAS = 3
TOPICS_KNOWN_WITHIN_S = 10.0
ABORT_SCAN_CONFIG = "transaction.abort.timed.out.transaction.cleanup.interval.ms"


@dataclass(frozen=True, slots=True)
class Topology:
    """Partition counts and size limits of every topic of the stages."""

    cluster_id: str
    partitions: Mapping[str, int]
    record_bytes: Mapping[str, int]
    """Largest key + value + headers each topic takes."""
    abort_scan_s: float
    """How often the brokers look for transactions past their timeout."""


def changelog_name(app_id: str, stage: str) -> str:
    """The changelog topic of a stage's table, as Faust names it."""
    return f"{app_id}-{stage}-changelog"


async def load_topology(stages: Iterable[Stage], settings: StreamsSettings, kafka: KafkaSettings) -> Topology:
    """Check the topics of `stages` and create the changelogs that are missing.

    Raises:
        KafkaUnreachable: no broker answers.
        TopicMissing: an input, an output or the dead letter topic does not exist.
        TopicUnfit: a dead letter might not fit into its topic.
        PartitionCountMismatch: inputs or changelog of a stage differ in partitions.
    """
    async with kafka_admin(kafka) as admin:
        return await _load(admin, tuple(stages), settings)


async def _load(admin: AIOKafkaAdminClient, stages: tuple[Stage, ...], settings: StreamsSettings) -> Topology:
    partitions = await _partition_counts(admin)
    needed = [topic.name for stage in stages for topic in (*stage.inputs, *stage.outputs)] + [DEAD_LETTERS.name]
    if missing := sorted({name for name in needed if name not in partitions}):
        raise TopicMissing(f"topics do not exist: {', '.join(missing)}; create them before starting the stages")
    for stage in stages:
        changelog, count = changelog_name(settings.app_id, stage.name), _input_partitions(stage, partitions)
        if changelog not in partitions:
            await _create_changelog(admin, changelog, count, settings)
            partitions[changelog] = count
        if partitions[changelog] != count:
            raise PartitionCountMismatch(
                f"{changelog} has {partitions[changelog]} partitions, the inputs of {stage.name} have {count}: "
                "the partition count of a stage with data cannot change"
            )
        needed.append(changelog)
    cluster = await admin.describe_cluster()
    limits = await _message_limits(admin, sorted(set(needed)))
    record_bytes = {name: min(limit - RECORD_OVERHEAD_BYTES, MAX_RECORD_BYTES) for name, limit in limits.items()}
    if record_bytes[DEAD_LETTERS.name] < MOST_DEAD_LETTER_BYTES:
        raise TopicUnfit(
            f"{DEAD_LETTERS.name} takes {record_bytes[DEAD_LETTERS.name]} bytes a record, a dead letter may need "
            f"{MOST_DEAD_LETTER_BYTES}; raise its max.message.bytes"
        )
    scan_s = await _abort_scan_s(admin, [broker["node_id"] for broker in cluster["brokers"]])
    return Topology(str(cluster["cluster_id"]), partitions, record_bytes, scan_s)


def _input_partitions(stage: Stage, partitions: Mapping[str, int]) -> int:
    counts = {topic.name: partitions[topic.name] for topic in stage.inputs}
    if len(set(counts.values())) != 1:
        raise PartitionCountMismatch(f"the inputs of {stage.name} must have one partition count, have {counts}")
    return next(iter(counts.values()))


async def _partition_counts(admin: AIOKafkaAdminClient) -> dict[str, int]:
    described = await admin.describe_topics()
    return {topic["topic"]: len(topic["partitions"]) for topic in described if topic["error_code"] == 0}


async def _create_changelog(
    admin: AIOKafkaAdminClient, name: str, partitions: int, settings: StreamsSettings
) -> None:
    config = {
        "cleanup.policy": "compact",
        "delete.retention.ms": str(int(settings.delete_retention_s * 1000)),
        "max.message.bytes": str(1024 * 1024),
        "message.timestamp.type": "LogAppendTime",
    }
    replicas = min(MOST_REPLICAS, len((await admin.describe_cluster())["brokers"]))
    topic = NewTopic(name, partitions, replicas, topic_configs=config)
    response = await admin.create_topics([topic])
    for _, code, message in response.topic_errors:
        error = for_code(code)
        if code != 0 and error is not TopicAlreadyExistsError:  # another process of ours may be starting too
            raise KafkaError(f"changelog {name} could not be created: {error.__name__}: {message}")


async def _message_limits(admin: AIOKafkaAdminClient, topics: list[str]) -> dict[str, int]:
    """`max.message.bytes` by topic; a broker may not know yet what was created a moment ago."""
    give_up_at_s = time.monotonic() + TOPICS_KNOWN_WITHIN_S
    while True:
        try:
            found = await _configs(admin, ConfigResourceType.TOPIC, topics, "max.message.bytes")
        except UnknownTopicOrPartitionError:
            if time.monotonic() > give_up_at_s:
                raise
            await asyncio.sleep(0.05)
        else:
            return {name: int(value) for name, value in found.items()}


async def _abort_scan_s(admin: AIOKafkaAdminClient, brokers: list[int]) -> float:
    names = [str(broker) for broker in brokers]
    found = await _configs(admin, ConfigResourceType.BROKER, names, ABORT_SCAN_CONFIG)
    return max(int(value) for value in found.values()) / 1000


async def _configs(
    admin: AIOKafkaAdminClient, kind: ConfigResourceType, names: list[str], config: str
) -> dict[str, str]:
    """The value of `config` by resource name."""
    found: dict[str, str] = {}
    for response in await admin.describe_configs([ConfigResource(kind, name, {config: None}) for name in names]):
        for code, message, _, name, entries in response.resources:
            if code != 0:
                error = for_code(code)
                kept = error if error is UnknownTopicOrPartitionError else KafkaError
                raise kept(
                    f"{config} of {kind.name.lower()} {name} could not be read: {error.__name__}: {message}"
                )
            found[name] = entries[0][1]
    return found
