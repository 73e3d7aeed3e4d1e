"""Conversations as a stage: its topics, its rows, and what happens to its records before they are decided."""

from __future__ import annotations

from penstock.artifacts import ArtifactStore
from penstock_schemas import topics
from penstock_streams.conversations.decide import Conversations
from penstock_streams.conversations.model import ROW_TYPES
from penstock_streams.conversations.payloads import preparations
from penstock_streams.conversations.policy import ConversationPolicy
from penstock_streams.kit import Stage


def conversations_stage(policy: ConversationPolicy, artifacts: ArtifactStore) -> Stage:
    """The conversations stage under `policy`; large messages and answers go to `artifacts`."""
    return Stage(
        name="conversations",
        inputs=(topics.CONVERSATIONS_REQUESTS, topics.CONVERSATIONS_COMMANDS),
        outputs=(topics.CONVERSATIONS_EVENTS, topics.CONVERSATIONS_COMMANDS, topics.ACCOUNTS_REQUESTS),
        row_types=ROW_TYPES,
        decide=Conversations(policy),
        prepare=preparations(artifacts),
    )
