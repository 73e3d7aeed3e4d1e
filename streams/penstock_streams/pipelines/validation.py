"""What a pipeline must satisfy beyond its schema. Each problem is a typed refusal. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import msgspec

from penstock.errors import InvalidPipeline
from penstock.pipelines.checking import check
from penstock_schemas import ids
from penstock_schemas.records import SYSTEM_TENANT, StageSpec, StartPipeline
from penstock_schemas.topics import MAX_REQUEST_INPUT_BYTES, MAX_TEMPLATE_BYTES
from penstock_streams.accounts.validation import AGENT_NAME, MAX_ATTEMPTS, MAX_TIMEOUT_S, MAX_TOKENS
from penstock_streams.pipelines import policy
from penstock_streams.pipelines.payloads import HeldPipeline, size_of_input

STAGE_NAME = re.compile(rf"[^{{}}\r\n]{{1,{policy.MAX_NAME_CHARS}}}")


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a request is refused."""

    reason: str
    detail: str


NOT_FOUND = Problem("not_found", "this tenant or user has no such pipeline, or it was forgotten")
"""Also for another's: nobody learns which ids exist."""
MISMATCH = Problem("duplicate_mismatch", "this request_id was already used for another pipeline")


def problem_with(start: StartPipeline, queues: frozenset[str]) -> Problem | None:
    """The first thing wrong with `start`, or None."""
    if start.tenant_id == SYSTEM_TENANT:
        return Problem("invalid_request", f"tenant {SYSTEM_TENANT!r} is the platform itself")
    if start.pipeline_id != ids.pipeline_id(start.tenant_id, start.request_id):
        return Problem("invalid_request", "pipeline_id is not the one derived from tenant_id and request_id")
    if (size := size_of_input(start)) > MAX_REQUEST_INPUT_BYTES:
        return Problem("input_too_large", f"the input is {size} bytes, above {MAX_REQUEST_INPUT_BYTES}")
    if start.name is not None and not 1 <= len(start.name) <= policy.MAX_NAME_CHARS:
        return Problem("invalid_request", f"name must have 1 to {policy.MAX_NAME_CHARS} characters")
    if sum(len(k.encode()) + len(v.encode()) for k, v in start.metadata.items()) > policy.MAX_METADATA_BYTES:
        return Problem("invalid_request", f"metadata is above {policy.MAX_METADATA_BYTES} bytes")
    step = -1
    for stage in start.stages:
        if stage.step not in (step, step + 1) or stage.step < 0:
            return Problem(
                "invalid_request", "steps must be numbered from 0 without a gap, in the order of stages"
            )
        step = stage.step
        if problem := _problem_with_stage(stage, queues):
            return problem
    try:
        check(start.stages)
    except InvalidPipeline as exc:
        return Problem(exc.reason, str(exc))
    return None


def _problem_with_stage(stage: StageSpec, queues: frozenset[str]) -> Problem | None:
    named = f"stage {stage.name[:80]!r}"
    if not STAGE_NAME.fullmatch(stage.name):
        why = f"the name must have 1 to {policy.MAX_NAME_CHARS} characters, no braces and one line"
        return Problem("invalid_request", f"{named}: {why}")
    if not AGENT_NAME.fullmatch(stage.agent_type):
        return Problem("invalid_request", f"{named}: agent_type {stage.agent_type[:80]!r} is not a name")
    if stage.queue not in queues:
        known = ", ".join(sorted(queues))
        return Problem("unknown_queue", f"{named}: queue {stage.queue[:80]!r} is not one of: {known}")
    if stage.model is not None and not 1 <= len(stage.model) <= 256:
        return Problem("invalid_request", f"{named}: model must have 1 to 256 characters")
    if (size := len((stage.prompt_template or "").encode())) > MAX_TEMPLATE_BYTES:
        return Problem("invalid_request", f"{named}: the template is {size} bytes, above {MAX_TEMPLATE_BYTES}")
    for name, value, most in (
        ("max_attempts", stage.max_attempts, MAX_ATTEMPTS),
        ("timeout_s", stage.timeout_s, MAX_TIMEOUT_S),
        ("max_tokens", stage.max_tokens, MAX_TOKENS),
    ):
        if value is not None and not 1 <= value <= most:
            return Problem("invalid_request", f"{named}: {name} must be 1 to {most}, was {value}")
    return None


def request_digest(start: StartPipeline) -> str:
    """Hash of what was asked, so that a repeated request and a different one can be told apart."""
    held = start.input_ref.sha256 if isinstance(start, HeldPipeline) else _sha256(start.initial_input)
    stages = [_asked_of(stage) for stage in start.stages]
    asked = (start.user_id, start.name, held, stages, sorted(start.metadata.items()))
    return sha256(msgspec.msgpack.encode(asked)).hexdigest()


def _asked_of(stage: StageSpec) -> tuple[Any, ...]:
    values = stage.model_dump()
    patterns = values.pop("artifact_patterns")
    return (*values.values(), *([patterns] if patterns else ()))  # a newer field changes no older digest


def _sha256(text: str) -> str:
    return sha256(text.encode()).hexdigest()
