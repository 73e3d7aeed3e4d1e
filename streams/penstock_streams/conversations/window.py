"""What an agent is told of the turns before. Pure."""

from __future__ import annotations

from penstock_schemas.records import HistoryMessage
from penstock_streams.conversations import model as m
from penstock_streams.conversations.policy import BYTES_PER_TOKEN, Window
from penstock_streams.kit import Rows
from penstock_streams.work import Said


def history(rows: Rows, conversation_id: str, turn_count: int, window: Window) -> list[HistoryMessage]:
    """The latest turns that fit `window`, oldest first, each whole. Reads at most one row more than it returns."""
    most_bytes = min(window.bytes, window.tokens * BYTES_PER_TOKEN)
    turns: list[tuple[int, m.Turn]] = []
    taken_bytes = 0
    for number in range(turn_count, max(turn_count - window.turns, 0), -1):
        key = m.turn_key(conversation_id, number)
        turn = rows.get(key, m.Turn)
        if turn is None:
            raise LookupError(f"{key} is missing in a conversation of {turn_count} turns")
        taken_bytes += turn.user.size + turn.assistant.size
        if taken_bytes > most_bytes:
            break
        turns.append((number, turn))
    return [
        Said(number, role, side.said_at, side.content, side.content_ref).message()
        for number, turn in reversed(turns)
        for role, side in (("user", turn.user), ("assistant", turn.assistant))
    ]
