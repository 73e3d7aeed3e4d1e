"""What the operator decides about conversations, and the limits of what they take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import BaseModel, ConfigDict, Field

from penstock_streams.timing import DAY_US

MAX_WAITING = 100
"""Messages that may wait in one conversation for the turns before them."""
MAX_TITLE_CHARS = 200
TITLE_FROM_CONTENT_CHARS = 80
MAX_METADATA_BYTES = 8 * 1024
KEPT_US = 7 * DAY_US
"""How long a message is known to have been answered, and a deleted conversation to have been deleted: as long as
its requests can be read again."""
REMOVED_AT_ONCE = 500
"""Turns, or a user's conversations, that one event or timer removes; a timer due at once goes on."""
JOINED_AT_MOST = 100
"""Commands that wait for one deletion of a user; of more, the latest are answered."""
BYTES_PER_TOKEN = 4
"""Of UTF-8, in the estimate by which a window is bounded: no tokenizer runs in a stage."""


class Window(BaseModel):
    """How much of the past an agent is told: the latest turns, as long as none of the three limits is passed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    turns: int = Field(default=10, ge=0, le=200)
    tokens: int = Field(default=16_000, ge=0, le=10_000_000)
    """Estimated, at four bytes each."""
    bytes: int = Field(default=128 * 1024, ge=0, le=512 * 1024)
    """Of all that is said, inline or by reference. Keeps a record below what Kafka takes."""


@dataclass(frozen=True, slots=True)
class ConversationPolicy:
    """Windows by agent."""

    windows: Mapping[str, Window] = field(default_factory=dict)
    default_window: Window = field(default_factory=Window)

    def window_of(self, agent_type: str) -> Window:
        return self.windows.get(agent_type, self.default_window)
