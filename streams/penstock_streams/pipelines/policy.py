"""What the operator decides about pipelines, and the limits of what they take."""

from __future__ import annotations

from dataclasses import dataclass

from penstock_schemas.topics import DEFAULT_QUEUE
from penstock_streams.timing import DAY_US

MAX_NAME_CHARS = 128
"""Of a pipeline or a stage."""
MAX_METADATA_BYTES = 8 * 1024
MAX_CARRIED_OUTPUTS_BYTES = 16 * 1024
"""Of earlier outputs, carried inline to a stage; above it they are a document in the artifact store."""
MAX_CARRIED_OUTPUTS = 32
"""How many of them."""
MAX_TOLD_BYTES = 8 * 1024 * 1024
"""Of what a stage is told. A template that names large texts, or one text often, fails its stage instead of
filling the store."""
STARTED_AT_ONCE = 125
"""Stages that one event or timer starts, or tells to stop; a timer due at once goes on. With the largest inline
inputs and outputs a transaction stays below 8 MiB."""
FORGOTTEN_AT_ONCE = 500
KEPT_US = 7 * DAY_US
"""How long an ended pipeline is known, and a failed one can be resumed: as long as its requests can be read
again."""


@dataclass(frozen=True, slots=True)
class PipelinePolicy:
    """The operator's choices."""

    queues: frozenset[str] = frozenset({DEFAULT_QUEUE})
    """Worker queues that a stage may name."""
