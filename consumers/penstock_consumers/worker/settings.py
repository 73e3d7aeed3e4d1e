"""What an operator can set about a worker."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, field_validator
from pydantic_settings import NoDecode, SettingsConfigDict

from penstock.settings import Settings
from penstock_schemas.records.base import Name
from penstock_schemas.topics import DEFAULT_QUEUE


class WorkerSettings(Settings):
    """From `PENSTOCK_WORKER_*`."""

    model_config = SettingsConfigDict(env_prefix="PENSTOCK_WORKER_")

    queues: Annotated[tuple[Name, ...], NoDecode, Field(min_length=1)] = (DEFAULT_QUEUE,)
    """The queues this worker serves; comma-separated in the environment."""
    concurrency: PositiveInt = 4
    """Slot processes; each runs one attempt at a time."""
    session_timeout_s: Annotated[float, Field(ge=1, le=60)] = 6.0
    """How long a dead worker stays a member of its queues' groups. While it does, what is dispatched to its
    partitions waits for the dispatch to be repeated, and a worker that joins makes all wait for it. Brokers refuse
    less than their `group.min.session.timeout.ms` (6 s by default)."""
    heartbeat_s: PositiveFloat = 5.0
    lease_margin_s: PositiveFloat = 3.0
    """A run is killed this long before its lease could be given to another worker: for clock rates that differ,
    and for the kill itself."""
    claim_retry_s: PositiveFloat = 2.0
    """An unanswered claim is sent again after this, then after twice as long, and so on."""
    claim_patience_s: PositiveFloat = 30.0
    """After this an unanswered claim frees its slot; the dispatch will be repeated."""
    tiers: Annotated[tuple[str, ...], NoDecode] = ("free", "pro", "enterprise")
    """Tiers whose commands this worker runs, comma-separated; `queue:tier` for one queue only. Their sandboxes are
    tried at start, and a worker that cannot hold one does not start. Empty: agents that run commands are
    refused."""
    min_free_bytes: NonNegativeInt = 64 * 1024 * 1024
    """While a file system of workspaces has less room than this, no attempt is taken: that of `TMPDIR`, and where
    commands run that of `PENSTOCK_SANDBOX_FOLDER`."""
    drain_s: float = Field(default=30.0, ge=0)
    """How long running attempts may go on after SIGTERM before they are handed back."""
    start_wait_s: PositiveFloat = 60.0
    """How long Kafka may be away at start."""

    def tiers_of(self, queue: str) -> frozenset[str]:
        """The tiers whose commands it runs for what comes from `queue`."""
        named = [entry.rpartition(":") for entry in self.tiers]
        return frozenset(tier for of, _, tier in named if of in ("", queue))

    @field_validator("queues", "tiers", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        return tuple(name.strip() for name in value.split(",")) if value.strip() else ()
