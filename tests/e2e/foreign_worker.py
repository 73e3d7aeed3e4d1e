"""A worker in nobody's language: what docs/worker-protocol.md says, on confluent-kafka and fastavro alone.

Deliberately imports nothing of Penstock: whoever writes a worker elsewhere can read this as the page's example.
"""

from __future__ import annotations

import json
import os
import socket
import time
import urllib.request
import uuid
from io import BytesIO
from typing import Any

import fastavro
from confluent_kafka import Consumer, Producer, TopicPartition

COMMANDS = "penstock.executions.commands.v1"
LEASES = "penstock.executions.leases.v1"
PROGRESS = "penstock.executions.progress.v1"
EVENTS = "penstock.executions.events.v1"
USAGE = "penstock.accounts.commands.v1"
EXECUTIONS, ACCOUNTS = "penstock.executions.v1", "penstock.accounts.v1"
PATIENCE_S = 60.0

Fields = dict[str, Any]


def murmur2(data: bytes) -> int:
    """Kafka's own variant of the hash, as its Java clients compute it."""
    multiplier, mask = 0x5BD1E995, 0xFFFFFFFF
    hashed = (0x9747B28C ^ len(data)) & mask
    for start in range(0, len(data) - 3, 4):
        word = int.from_bytes(data[start : start + 4], "little") * multiplier & mask
        hashed = (hashed * multiplier & mask) ^ ((word ^ word >> 24) * multiplier & mask)
    tail = data[len(data) & ~3 :]
    if tail:
        hashed = (hashed ^ int.from_bytes(tail, "little")) * multiplier & mask
    hashed = (hashed ^ hashed >> 13) * multiplier & mask
    return hashed ^ hashed >> 15


def partition_for(routing_key: str, partitions: int) -> int:
    return (murmur2(routing_key.encode()) & 0x7FFFFFFF) % partitions


class Schemas:
    """The registry's HTTP API, as far as a worker needs it."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._writers: dict[str, tuple[int, Any]] = {}
        self._readers: dict[int, Any] = {}

    def encode(self, topic: str, name: str, fields: Fields) -> bytes:
        subject = f"{topic}-{name}"
        if subject not in self._writers:
            found = self._get(f"/subjects/{subject}/versions/latest")
            self._writers[subject] = (found["id"], fastavro.parse_schema(json.loads(found["schema"])))
        schema_id, schema = self._writers[subject]
        body = BytesIO()
        fastavro.schemaless_writer(body, schema, fields)
        return b"\0" + schema_id.to_bytes(4, "big") + body.getvalue()

    def decode(self, value: bytes) -> tuple[str, Fields]:
        """The record's name without its namespace, and its fields."""
        schema_id = int.from_bytes(value[1:5], "big")
        if schema_id not in self._readers:
            schema = json.loads(self._get(f"/schemas/ids/{schema_id}")["schema"])
            self._readers[schema_id] = (schema["name"], fastavro.parse_schema(schema))
        name, parsed = self._readers[schema_id]
        record = fastavro.schemaless_reader(BytesIO(value[5:]), parsed, None)
        assert isinstance(record, dict)
        return name, record

    def _get(self, path: str) -> Any:
        with urllib.request.urlopen(self._url + path, timeout=10) as answer:
            return json.load(answer)


class ForeignWorker:
    """One worker process with one slot; every method is one step of the protocol."""

    def __init__(self, bootstrap: str, registry_url: str, queue: str, worker_id: str | None = None) -> None:
        self.id = worker_id or f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
        self.queue = queue
        self._schemas = Schemas(registry_url)
        self._producer = Producer({"bootstrap.servers": bootstrap, "enable.idempotence": True, "acks": "all"})
        reading = {
            "bootstrap.servers": bootstrap,
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
        }
        self._dispatches = Consumer(
            reading | {"group.id": f"penstock-workers-{queue}", "auto.offset.reset": "earliest"}
        )
        self._leases = Consumer(reading | {"group.id": "unused"})
        self._events = Consumer(reading | {"group.id": "unused"})
        self.partitions = {topic: self._count(topic) for topic in (COMMANDS, LEASES, PROGRESS, USAGE, EVENTS)}
        self._stand_at_end(self._leases, LEASES, partition_for(self.id, self.partitions[LEASES]))
        self._heartbeat_seq = 0
        self._unread: list[tuple[str, Fields]] = []

    def close(self) -> None:
        for consumer in (self._dispatches, self._leases, self._events):
            consumer.close()

    # The steps

    def next_dispatch(self) -> Fields:
        """A hint, whose offset is committed only once its claim is answered (`answered`)."""
        self._dispatches.subscribe([f"penstock.executions.dispatch.{self.queue}.v1"])
        message = self._poll(self._dispatches)
        self._hint = message
        _, dispatch = self._schemas.decode(message.value())
        return dispatch

    def answered(self) -> None:
        self._dispatches.commit(message=self._hint, asynchronous=False)

    def claim(self, dispatch: Fields, **other: Any) -> tuple[str, Fields]:
        """The answer: LeaseGranted or LeaseDenied."""
        claim_id = f"claim-{self.id}-{dispatch['execution_id']}-{dispatch['epoch']}"
        claim = self._about(dispatch) | {"claim_id": claim_id, "worker_id": self.id} | other
        self.command("ClaimLease", claim)
        return self.lease_answer(lambda _, said: said.get("claim_id") == claim["claim_id"])

    def heartbeat(self, partition: int, held: list[tuple[str, int]], **other: Any) -> Fields:
        """Send one and wait for its confirmation; whatever else is said meanwhile is kept."""
        self._heartbeat_seq += 1
        beat = {
            **self._stamp("_penstock"),
            "partition": partition,
            "worker_id": self.id,
            "heartbeat_seq": self._heartbeat_seq,
            "leases": [{"execution_id": execution_id, "epoch": epoch} for execution_id, epoch in held],
        } | other
        self.produce(COMMANDS, f"{EXECUTIONS}.Heartbeat", beat, partition % self.partitions[COMMANDS])
        _, confirmed = self.lease_answer(
            lambda name, said: name == "LeaseConfirmed" and said["heartbeat_seq"] == beat["heartbeat_seq"]
        )
        return confirmed

    def progress(self, dispatch: Fields, seq: int, message: str) -> None:
        fields = self._about(dispatch) | {"seq": seq, "message": message, "fraction": None}
        to = partition_for(dispatch["execution_id"], self.partitions[PROGRESS])
        self.produce(PROGRESS, f"{EXECUTIONS}.ProgressReported", fields, to)

    def usage(self, dispatch: Fields, call_seq: int, model: str, input_tokens: int, output_tokens: int) -> None:
        fields = self._about(dispatch) | {
            "usage_id": f"{dispatch['execution_id']}/{dispatch['epoch']}/{call_seq}",
            "call_seq": call_seq,
            "agent_type": dispatch["agent_type"],
            "user_id": dispatch["user_id"],
            "model": model,
            "input_tokens": input_tokens,
            "output_tokens": output_tokens,
        }
        to = partition_for(dispatch["tenant_id"], self.partitions[USAGE])
        self.produce(USAGE, f"{ACCOUNTS}.RecordUsage", fields, to)

    def finish(self, dispatch: Fields, status: str, **other: Any) -> None:
        self.flush()  # progress and usage are acknowledged before anyone can learn of the end
        fields = self._about(dispatch) | {"worker_id": self.id, "status": status, "last_seq": 0} | other
        self.command("FinishAttempt", fields)

    # What they are made of

    def command(self, name: str, fields: Fields) -> None:
        """One record about one execution, acknowledged when this returns."""
        to = partition_for(fields["execution_id"], self.partitions[COMMANDS])
        self.produce(COMMANDS, f"{EXECUTIONS}.{name}", fields, to)
        self.flush()

    def produce(self, topic: str, name: str, fields: Fields, partition: int) -> None:
        self._producer.produce(topic, self._schemas.encode(topic, name, fields), partition=partition)

    def flush(self) -> None:
        assert self._producer.flush(PATIENCE_S) == 0

    def lease_answer(self, wanted: Any) -> tuple[str, Fields]:
        """The first record said to this worker that is wanted; the others stay for the next call."""
        for number, (name, said) in enumerate(self._unread):
            if wanted(name, said):
                return self._unread.pop(number)
        while True:
            name, said = self._schemas.decode(self._poll(self._leases).value())
            if said["worker_id"] != self.id:
                continue  # another worker's, in the same partition
            if wanted(name, said):
                return name, said
            self._unread.append((name, said))

    def event(self, execution_id: str, *wanted: str) -> tuple[str, Fields]:
        """The first event of that kind about an execution, from its beginning."""
        partition = partition_for(execution_id, self.partitions[EVENTS])
        self._events.assign([TopicPartition(EVENTS, partition, 0)])
        while True:
            name, event = self._schemas.decode(self._poll(self._events).value())
            if event.get("execution_id") == execution_id and name in wanted:
                return name, event

    def _about(self, dispatch: Fields) -> Fields:
        same = {name: dispatch[name] for name in ("execution_id", "epoch")}
        return self._stamp(dispatch["tenant_id"]) | same

    def _stamp(self, tenant_id: str) -> Fields:
        return {"event_id": str(uuid.uuid4()), "tenant_id": tenant_id, "occurred_at": time.time_ns() // 1000}

    def _poll(self, consumer: Consumer) -> Any:
        give_up_at_s = time.monotonic() + PATIENCE_S
        while time.monotonic() < give_up_at_s:
            message = consumer.poll(0.5)
            if message is not None and message.error() is None:
                return message
        raise AssertionError(f"nothing came within {PATIENCE_S} s")

    def _count(self, topic: str) -> int:
        return len(self._leases.list_topics(topic, timeout=10).topics[topic].partitions)

    def _stand_at_end(self, consumer: Consumer, topic: str, partition: int) -> None:
        """Before the first claim: whatever is answered from now on will be read."""
        own = TopicPartition(topic, partition)
        _, own.offset = consumer.get_watermark_offsets(own, timeout=10)
        consumer.assign([own])
