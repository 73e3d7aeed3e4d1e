"""Conversations with a known truth: every message, the answer to it, and the runs that make the answers."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import penstock
from penstock.errors import Unreachable
from penstock_schemas import ids
from tests.faults.agents import RECALLING, recalled
from tests.faults.wanted import MAX_ATTEMPTS, Wanted

TURNS = 5
"""Less than the window an agent is told, so that each answer shows all turns before it."""
LARGE_TURN = 2
LARGE_BYTES = 5_000
"""Above what travels inline."""
USERS = 3
"""Of a load; each has many conversations, and several at once."""
BETWEEN_MESSAGES_S = 0.25
"""Less than a turn takes: all but the first message are posted while an earlier one is being answered."""


@dataclass(frozen=True, slots=True)
class Turn:
    number: int
    message_id: str
    said: str
    answer: str


@dataclass(frozen=True, slots=True)
class Conversation:
    """What one user says to an agent, message after message, without waiting for answers."""

    tenant: str
    user: str
    name: str

    @property
    def conversation_id(self) -> str:
        return ids.conversation_id(self.tenant, self.user, f"{self.name}-1")

    def turns(self) -> Sequence[Turn]:
        """Every turn, in order."""
        turns: list[Turn] = []
        before: list[tuple[str, str, str]] = []
        for number in range(1, TURNS + 1):
            said = f"message {number} of {self.name}"
            said += "." * (LARGE_BYTES if number == LARGE_TURN else 0)
            answer = recalled(said, number, before)
            turns.append(Turn(number, f"{self.name}-{number}", said, answer))
            before += [(str(number), "user", said), (str(number), "assistant", answer)]
        return turns

    def executions(self) -> Sequence[Wanted]:
        """The runs that answer."""
        return [
            Wanted(
                self.tenant,
                ids.turn_request_id(self.conversation_id, turn.message_id),
                RECALLING,
                turn.said,
                "gpt-4",
                turn.answer,
                calls=1,
                last_seq=2,
            )
            for turn in self.turns()
        ]

    async def hold(self, client: penstock.Client) -> None:
        """Post every message. In doubt one is posted again under the same id, which is answered once; the next
        one follows when it is known to have arrived."""
        for turn in self.turns():
            while True:
                try:
                    await client.post_message(
                        turn.said,
                        tenant=self.tenant,
                        user=self.user,
                        conversation=None if turn.number == 1 else self.conversation_id,
                        agent=RECALLING,
                        on_busy="enqueue",
                        message_id=turn.message_id,
                        model="gpt-4",
                        max_attempts=MAX_ATTEMPTS,
                    )
                except Unreachable:
                    continue
                break
            await asyncio.sleep(BETWEEN_MESSAGES_S)  # the pace of the load


def nth_conversation(tag: str, tenants: Sequence[str], number: int) -> Conversation:
    """The nth conversation: tenants and users take turns."""
    return Conversation(tenants[number % len(tenants)], f"{tag}-u{number % USERS}", f"{tag}-talk{number}")
