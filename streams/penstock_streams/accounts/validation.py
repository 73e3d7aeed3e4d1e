"""What a request from outside must satisfy beyond its schema. Each problem is a typed rejection."""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import sha256

import msgspec

from penstock.kept import patterns_problem
from penstock_schemas.records import SYSTEM_TENANT, RequestExecution
from penstock_schemas.topics import MAX_REQUEST_INPUT_BYTES
from penstock_streams.timing import HOUR_US, MINUTE_US

MAX_TIMEOUT_S = 86_400
DEFAULT_TIMEOUT_S = 600
MAX_ATTEMPTS = 10
DEFAULT_ATTEMPTS = 3
MAX_TOKENS = 10_000_000
"""More output tokens than any model gives in a day; above it the number is a mistake."""
MAX_RESERVED_TOKENS = 10**12
MAX_METADATA_BYTES = 8 * 1024
CLOCK_BEHIND_US = 48 * HOUR_US
CLOCK_AHEAD_US = 5 * MINUTE_US
"""How far `occurred_at` may lie from when Kafka received the record (DESIGN section 5)."""

AGENT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a request is rejected."""

    reason: str
    detail: str


def problem_with(request: RequestExecution, received_us: int, queues: frozenset[str]) -> Problem | None:
    """The first thing wrong with `request`, or None."""
    if request.tenant_id == SYSTEM_TENANT:
        return Problem("invalid_request", f"tenant {SYSTEM_TENANT!r} is the platform itself")
    if not AGENT_NAME.fullmatch(request.agent_type):
        return Problem("invalid_request", f"agent_type {request.agent_type[:80]!r} is not a name")
    if (request.input is None) == (request.input_ref is None):
        return Problem("invalid_request", "exactly one of input and input_ref must be set")
    if request.input is not None and (size := len(request.input.encode())) > MAX_REQUEST_INPUT_BYTES:
        limit = MAX_REQUEST_INPUT_BYTES
        return Problem("input_too_large", f"input is {size} bytes inline, above {limit}; send an input_ref")
    for name, value, most in (
        ("max_tokens", request.max_tokens, MAX_TOKENS),
        ("timeout_s", request.timeout_s, MAX_TIMEOUT_S),
        ("max_attempts", request.max_attempts, MAX_ATTEMPTS),
        ("reserve_tokens", request.reserve_tokens, MAX_RESERVED_TOKENS),
    ):
        if value is not None and not 1 <= value <= most:
            return Problem("invalid_request", f"{name} must be 1 to {most}, was {value}")
    if request.queue not in queues:
        known = ", ".join(sorted(queues))
        return Problem("unknown_queue", f"queue {request.queue[:80]!r} is not one of: {known}")
    if sum(len(k.encode()) + len(v.encode()) for k, v in request.metadata.items()) > MAX_METADATA_BYTES:
        return Problem("invalid_request", f"metadata is above {MAX_METADATA_BYTES} bytes")
    if problem := patterns_problem(request.artifact_patterns):
        return Problem("invalid_request", f"artifact_patterns: {problem}")
    skew_us = request.occurred_at - received_us
    if not -CLOCK_BEHIND_US <= skew_us <= CLOCK_AHEAD_US:
        return Problem("clock_skew", f"occurred_at is {skew_us / HOUR_US:+.1f} h from when Kafka received it")
    return None


def request_digest(request: RequestExecution) -> str:
    """Hash of what was asked, so that a repeated request and a different one can be told apart.

    Its own id and time do not count: an outside producer may stamp a retry anew. An input counts by its hash,
    so that moving a large one into the artifact store changes nothing.
    """
    given = request.input_ref.sha256 if request.input_ref else sha256((request.input or "").encode()).hexdigest()
    asked = (
        request.user_id,
        request.agent_type,
        request.model,
        given,
        request.max_tokens,
        request.timeout_s,
        request.max_attempts,
        request.queue,
        *(() if request.reserve_tokens is None else (request.reserve_tokens,)),
        sorted(request.metadata.items()),
        *(() if request.conversation_id is None else (request.conversation_id, request.turn_number)),
        *(() if request.pipeline_id is None else (request.pipeline_id, request.stage_index)),
        *(() if request.parent_reservation is None else (request.parent_reservation,)),
        *((request.artifact_patterns,) if request.artifact_patterns else ()),
    )
    return sha256(msgspec.msgpack.encode(asked)).hexdigest()
