"""Clients that are not ours: confluent-kafka with its own Avro, curl, clickhouse-connect."""

from __future__ import annotations

import json
import subprocess
import time
import uuid
from pathlib import Path
from typing import Any

import clickhouse_connect
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext

from penstock_schemas import ids, topics
from penstock_schemas import records as r
from penstock_schemas.avro_files import schema_of
from tests.e2e.conftest import Stack
from tests.e2e.waiting import eventually

pytestmark = pytest.mark.e2e
FAN_OUT = Path(__file__).parents[2] / "examples" / "pipelines" / "fan_out.yaml"


def request_fields(**fields: Any) -> dict[str, Any]:
    """A RequestExecution as any language would write it: a plain map that fits the schema."""
    base = {
        "event_id": str(uuid.uuid4()),
        "tenant_id": "foreign",
        "occurred_at": int(time.time() * 1_000_000),
        "request_id": f"order-{uuid.uuid4()}",
        "agent_type": "echo",
        "input": "sent by another client",
        "input_ref": None,
        "user_id": None,
        "model": None,
        "max_tokens": None,
        "timeout_s": None,
        "max_attempts": None,
        "queue": "agents-default",
        "metadata": {},
    }
    return base | fields


class ForeignProducer:
    """confluent-kafka with its own serializer and its default partitioner (CRC32, not Java's murmur2)."""

    def __init__(self, stack: Stack) -> None:
        registry = SchemaRegistryClient({"url": stack.env["PENSTOCK_REGISTRY_URL"]})
        self._producer = Producer({"bootstrap.servers": stack.env["PENSTOCK_KAFKA_BOOTSTRAP_SERVERS"]})
        self._serializer = AvroSerializer(
            registry,
            json.dumps(schema_of(r.RequestExecution)),
            conf={
                "auto.register.schemas": False,
                "use.latest.version": False,
                "subject.name.strategy": lambda context, name: f"{context.topic}-{name}",
            },
        )

    def send(self, *requests: dict[str, Any]) -> None:
        topic = topics.ACCOUNTS_REQUESTS.name
        context = SerializationContext(topic, MessageField.VALUE)
        for request in requests:
            value = self._serializer(request, context)
            self._producer.produce(topic, key=request["tenant_id"], value=value)
        assert self._producer.flush(30) == 0


def test_a_request_from_confluent_kafkas_own_serializer_runs(stack: Stack):
    request = request_fields()
    ForeignProducer(stack).send(request)
    execution_id = ids.execution_id("foreign", request["request_id"])
    got = eventually(lambda: _completed(stack, execution_id))
    assert got["output"] == "sent by another client"


def _completed(stack: Stack, execution_id: str) -> dict[str, Any] | None:
    shown = stack.penstock("get", execution_id, "--json")
    state = json.loads(shown.stdout) if shown.returncode == 0 else {}
    return state if state.get("status") == "completed" else None


def test_confluent_kafkas_own_deserializer_reads_every_event_there_is(stack: Stack):
    said = ("--tenant", "foreign", "--user", "ada")
    for arguments in (
        ("run", "echo", "--input", "x", *said, "--model", "gpt-4", "--follow"),
        ("chat", "send", *said, "--agent", "echo", "x"),
        ("pipeline", "run", str(FAN_OUT), "--input", "x", *said, "--follow"),
    ):
        assert stack.penstock(*arguments).returncode == 0
    registry = SchemaRegistryClient({"url": stack.env["PENSTOCK_REGISTRY_URL"]})
    deserialize = AvroDeserializer(registry)
    consumer = Consumer(
        {
            "bootstrap.servers": stack.env["PENSTOCK_KAFKA_BOOTSTRAP_SERVERS"],
            "group.id": "a-foreign-reader",
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
        }
    )
    readable = [t for t in topics.TOPICS.values() if t.kind in ("events", "progress", "leases", "dispatch")]
    fields_by_topic: dict[str, int] = {}
    try:
        for topic in readable:
            partitions = consumer.list_topics(topic.name, timeout=10).topics[topic.name].partitions
            consumer.assign([TopicPartition(topic.name, number, 0) for number in partitions])
            ended = 0
            while ended < len(partitions):
                message = consumer.poll(10)
                assert message is not None, f"{topic.name} went silent"
                if message.error():
                    ended += 1
                    continue
                context = SerializationContext(topic.name, MessageField.VALUE)
                record = deserialize(message.value(), context)
                assert record["event_id"]
                assert record["tenant_id"]
                fields_by_topic[topic.name] = fields_by_topic.get(topic.name, 0) + 1
    finally:
        consumer.close()
    assert set(fields_by_topic) >= {t.name for t in readable if t.kind != "leases"}


def curl(stack: Stack, query: str) -> subprocess.CompletedProcess[str]:
    """As the reader of `stack.env`."""
    env = stack.env
    url = f"http://{env['PENSTOCK_CLICKHOUSE_HOST']}:{env['PENSTOCK_CLICKHOUSE_PORT']}/?database=penstock"
    reader = f"{env['PENSTOCK_CLICKHOUSE_READER_USER']}:{env['PENSTOCK_CLICKHOUSE_READER_PASSWORD']}"
    command = ["curl", "-sS", "--fail-with-body", "-u", reader, url, "-d", query]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_reader_asks_clickhouse_by_curl(stack: Stack):
    assert stack.penstock("run", "echo", "--input", "x", "--tenant", "curled", "--follow").returncode == 0
    query = "SELECT count() FROM v_executions WHERE tenant_id = 'curled' AND status = 'completed'"
    eventually(lambda: curl(stack, query).stdout.strip() == "1")


def test_a_reader_changes_nothing(stack: Stack):
    for query in ("TRUNCATE TABLE ledger", "DROP VIEW v_bill", "INSERT INTO ledger (tenant_id) VALUES ('x')"):
        refused = curl(stack, query)
        assert (refused.returncode != 0, "READONLY" in refused.stdout) == (True, True), refused.stdout


def test_clickhouse_connect_asks_clickhouse(stack: Stack):
    env = stack.env
    client = clickhouse_connect.get_client(
        host=env["PENSTOCK_CLICKHOUSE_HOST"],
        port=int(env["PENSTOCK_CLICKHOUSE_PORT"]),
        username=env["PENSTOCK_CLICKHOUSE_USER"],
        password=env["PENSTOCK_CLICKHOUSE_PASSWORD"],
        database="penstock",
    )
    assert client.query("SELECT uniqExact(execution_id) FROM executions_events").result_rows[0][0] > 0
