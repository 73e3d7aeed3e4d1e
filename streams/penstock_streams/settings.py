"""What the operator decides for the stages."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator
from pydantic_settings import NoDecode, SettingsConfigDict

from penstock.settings import Settings
from penstock_schemas.topics import DEFAULT_QUEUE
from penstock_streams.accounts.policy import Policy
from penstock_streams.conversations.policy import ConversationPolicy, Window
from penstock_streams.executions.policy import LeaseTimes
from penstock_streams.pipelines.policy import PipelinePolicy
from penstock_streams.timing import SECOND_US


class StageSettings(Settings):
    """Settings of the stages themselves; those of the process they run in are `kit.StreamsSettings`."""

    model_config = SettingsConfigDict(env_prefix="PENSTOCK_")

    queues: Annotated[frozenset[str], NoDecode] = frozenset({DEFAULT_QUEUE})
    """Worker queues that may be named, comma-separated; each has its own dispatch topic."""
    default_tier: str | None = "free"
    """Tier of tenants nobody configured; `none` rejects them as `unknown_tenant`."""
    unknown_model: Annotated[str, Field(pattern=r"^(quarantine|fallback:.{1,256})$")] = "quarantine"
    """What becomes of usage whose model has no price: `quarantine`, until one is listed, or `fallback:<model>`,
    charged as that model."""
    lease_hold_s: Annotated[float, Field(ge=1, le=3600)] = 30.0
    """A lease lives this long after the last heartbeat that listed it."""
    claimed_within_s: Annotated[float, Field(ge=1, le=30 * 86_400)] = 86_400.0
    """An execution that no worker of its queue has claimed for this long fails as `not_claimed`."""

    conversation_window: Window = Window()
    """How much of a conversation an agent is told, as JSON: `{"turns": 10, "tokens": 16000, "bytes": 131072}`."""
    conversation_windows: dict[str, Window] = Field(default_factory=dict)
    """The same by agent, as JSON: `{"assistant": {"turns": 30}}`."""

    @field_validator("queues", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        return frozenset(name.strip() for name in value.split(",") if name.strip()) | {DEFAULT_QUEUE}

    @field_validator("default_tier", mode="before")
    @classmethod
    def _none(cls, value: object) -> object:
        return None if value == "none" else value

    def policy(self) -> Policy:
        _, _, fallback_model = self.unknown_model.partition(":")
        return Policy(default_tier=self.default_tier, queues=self.queues, fallback_model=fallback_model or None)

    def lease_times(self) -> LeaseTimes:
        return LeaseTimes(
            hold_us=int(self.lease_hold_s * SECOND_US),
            claimed_within_us=int(self.claimed_within_s * SECOND_US),
        )

    def pipeline_policy(self) -> PipelinePolicy:
        return PipelinePolicy(queues=self.queues)

    def conversation_policy(self) -> ConversationPolicy:
        return ConversationPolicy(windows=self.conversation_windows, default_window=self.conversation_window)
