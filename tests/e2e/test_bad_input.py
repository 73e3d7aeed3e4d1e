"""Bad input through the real interfaces: each is a typed rejection or a dead letter, and the partition goes on."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable
from io import BytesIO
from typing import Any

import fastavro
import pytest
from confluent_kafka import Producer
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient

from penstock_schemas import ids, topics
from penstock_schemas import records as r
from penstock_schemas.avro_files import schema_of
from penstock_schemas.registry import subject_of
from tests.e2e.conftest import Stack
from tests.e2e.test_foreign_clients import ForeignProducer, request_fields
from tests.e2e.waiting import eventually

pytestmark = pytest.mark.e2e
REQUESTS = topics.ACCOUNTS_REQUESTS


def schema_id(stack: Stack, topic: topics.Topic, record_type: type[r.Record]) -> bytes:
    registry = SchemaRegistryClient({"url": stack.env["PENSTOCK_REGISTRY_URL"]})
    return registry.get_latest_version(subject_of(topic, record_type)).schema_id.to_bytes(4, "big")


def framed(stack: Stack, body: bytes) -> bytes:
    return b"\0" + schema_id(stack, REQUESTS, r.RequestExecution) + body


def foreign_schema(stack: Stack) -> bytes:
    return b"\0" + schema_id(stack, topics.EXECUTIONS_EVENTS, r.AttemptLost) + b"\0" * 20


def not_utf8(stack: Stack) -> bytes:
    good = _encoded(stack, request_fields(input="PLACEHOLDER"))
    return good.replace(b"PLACEHOLDER", b"\xff\xfe\xfd LDER\xff\xff\xff")


def tenant_with_slash(stack: Stack) -> bytes:
    return _encoded(stack, request_fields(tenant_id="../etc"))


def tenant_of_10_kb(stack: Stack) -> bytes:
    return _encoded(stack, request_fields(tenant_id="t" * 10_240))


def missing_required_field(stack: Stack) -> bytes:
    """A writer with a schema of its own: the right name, no request_id, registered where nobody checks."""
    schema = schema_of(r.RequestExecution)
    schema = schema | {"fields": [field for field in schema["fields"] if field["name"] != "request_id"]}
    registry = SchemaRegistryClient({"url": stack.env["PENSTOCK_REGISTRY_URL"]})
    own_id = registry.register_schema("somebodys-own", Schema(json.dumps(schema), "AVRO"))
    return b"\0" + own_id.to_bytes(4, "big") + _body(schema, request_fields())


def _encoded(stack: Stack, fields: dict[str, Any]) -> bytes:
    return framed(stack, _body(schema_of(r.RequestExecution), fields))


def _body(schema: dict[str, Any], fields: dict[str, Any]) -> bytes:
    body = BytesIO()
    fastavro.schemaless_writer(body, fastavro.parse_schema(schema), fields)
    return body.getvalue()


POISON: list[tuple[str, Callable[[Stack], bytes], str]] = [
    ("undecodable bytes", lambda stack: framed(stack, b"\xff" * 40), "bad_payload"),
    ("wrong magic byte", lambda stack: b"\x07" + b"\0" * 30, "bad_framing"),
    ("unknown schema id", lambda stack: b"\0" + (2**31 - 7).to_bytes(4, "big") + b"x", "unknown_schema_id"),
    ("schema of another subject", foreign_schema, "foreign_schema"),
    ("body cut short", lambda stack: _encoded(stack, request_fields())[:60], "bad_payload"),
    ("missing required field", missing_required_field, "invalid_record"),
    ("tenant id with a slash", tenant_with_slash, "invalid_record"),
    ("tenant id of 10 kB", tenant_of_10_kb, "invalid_record"),
    ("input that is not UTF-8", not_utf8, "bad_payload"),
]


@pytest.mark.parametrize(("what", "make", "code"), POISON, ids=[what for what, _, _ in POISON])
def test_poison_is_a_dead_letter_with_coordinates_and_reason(stack: Stack, what, make, code):
    value = make(stack)
    offset: list[tuple[int, int]] = []
    producer = Producer({"bootstrap.servers": stack.env["PENSTOCK_KAFKA_BOOTSTRAP_SERVERS"]})
    producer.produce(REQUESTS.name, value, on_delivery=lambda _, m: offset.append((m.partition(), m.offset())))
    assert producer.flush(30) == 0

    def found() -> list[dict[str, Any]]:
        where = [(REQUESTS.name, *offset[0])]
        return [
            letter
            for letter in stack.json("dlq", "list")
            if [(letter["source_topic"], letter["source_partition"], letter["source_offset"])] == where
        ]

    (letter,) = eventually(found)
    assert letter["error_code"] == code
    assert letter["error_message"]


REJECTED: list[tuple[str, dict[str, Any], str]] = [
    ("negative max_tokens", {"max_tokens": -5}, "invalid_request"),
    ("300 KiB inline input", {"input": "x" * (300 * 1024)}, "input_too_large"),
    ("clock five days behind", {"occurred_at": int((time.time() - 5 * 86_400) * 1e6)}, "clock_skew"),
    ("clock five days ahead", {"occurred_at": int((time.time() + 5 * 86_400) * 1e6)}, "clock_skew"),
    ("unknown queue", {"queue": "nowhere"}, "unknown_queue"),
]


@pytest.mark.parametrize(("what", "fields", "reason"), REJECTED, ids=[what for what, _, _ in REJECTED])
def test_a_bad_request_is_a_typed_rejection_that_get_shows(stack: Stack, what, fields, reason):
    request = request_fields(**fields)
    ForeignProducer(stack).send(request)
    execution_id = ids.execution_id(request["tenant_id"], request["request_id"])
    state = eventually(lambda: _state(stack, execution_id))
    assert (state["status"], state["reason"]) == ("rejected", reason)


def _state(stack: Stack, execution_id: str) -> dict[str, Any] | None:
    shown = stack.penstock("get", execution_id, "--json")
    return json.loads(shown.stdout) if shown.returncode == 0 else None


def test_another_body_under_a_used_request_id_is_refused_and_the_first_run_stands(stack: Stack):
    request_id = f"twice-{uuid.uuid4()}"
    arguments = ("run", "echo", "--tenant", "twice", "--request-id", request_id, "--follow")
    assert stack.penstock(*arguments, "--input", "first").returncode == 0
    again = stack.penstock(*arguments, "--input", "first")
    assert again.returncode == 0
    assert "first" in again.stdout
    other = stack.penstock(*arguments, "--input", "second")
    assert other.returncode == 3
    assert "duplicate_mismatch" in other.stdout + other.stderr
    state = eventually(lambda: _state(stack, ids.execution_id("twice", request_id)))
    assert (state["status"], state["output"]) == ("completed", "first")


@pytest.mark.parametrize(
    "arguments",
    [
        ("run", "echo", "--input", "x", "--tenant", "a/b"),
        ("run", "echo", "--input", "x", "--tenant", "t", "--max-tokens", "-1"),
        ("run", "echo", "--input", "@no-such-file", "--tenant", "t"),
        ("bill", "acme", "--month", "2026-13"),
        ("audit", "--month", "yesterday"),
    ],
    ids=lambda arguments: " ".join(arguments),
)
def test_the_command_line_refuses_bad_arguments_with_exit_code_2_and_names_the_value(stack: Stack, arguments):
    done = stack.penstock(*arguments)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_after_all_that_every_process_is_healthy_and_none_was_restarted(stack: Stack):
    processes = stack.json("status")["processes"]
    assert all(process["state"] == "healthy" and process["restarts"] == 0 for process in processes), processes
    assert stack.penstock("run", "echo", "--input", "on we go", "--tenant", "after", "--follow").returncode == 0
