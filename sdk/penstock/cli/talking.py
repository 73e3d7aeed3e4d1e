"""Talking with an agent at a terminal."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from penstock.cli.live import LiveView
from penstock.cli.output import ERRORS, print_text
from penstock.errors import PenstockError, Unreachable

if TYPE_CHECKING:
    from penstock.client import Client
    from penstock.conversation_models import ConversationTurn, PostedMessage

DEFAULT_AGENT = "assistant"
PROGRESS_LEFT_S = 1.0
"""How long progress that is still under way is waited for once the answer is there."""
HELP = "/new starts another conversation, /quit leaves; anything else is said to the agent."


async def answered(client: Client, posted: PostedMessage) -> ConversationTurn:
    """Show the progress of the turn until its answer is there."""
    with LiveView(ERRORS) as view:

        async def watch() -> None:
            async for record in client.follow(posted.execution_id):
                view.show(record)

        watching = asyncio.create_task(watch())
        try:
            turn = await client.answer(posted)
            await asyncio.wait([watching], timeout=PROGRESS_LEFT_S)
            return turn
        finally:
            watching.cancel()
            with suppress(asyncio.CancelledError, PenstockError):  # `answer` has the error that counts
                await watching


async def talk(tenant: str, user: str, conversation: str | None, agent: str | None, model: str | None) -> None:
    """What is typed, line by line, each answered before the next; until /quit or the end of the input."""
    from penstock.client import Client

    async with Client() as client:
        ERRORS.print(HELP, style="dim", markup=False)
        if conversation is not None:  # whose it is shows now, not after the first message
            found = await client.conversation(conversation, tenant=tenant, user=user)
            ERRORS.print(f"{found.title} ({found.turn_count:,} turns)", style="dim", markup=False)
        while (text := await asyncio.to_thread(_line)) is not None:
            match text.strip():
                case "":
                    continue
                case "/quit" | "/exit":
                    break
                case "/new":
                    conversation = None
                    continue
                case "/help":
                    ERRORS.print(HELP, style="dim", markup=False)
                    continue
            try:
                posted = await client.post_message(
                    text,
                    tenant=tenant,
                    user=user,
                    conversation=conversation,
                    agent=agent or DEFAULT_AGENT if conversation is None else None,
                    model=model,
                )
                conversation = posted.conversation_id
                print_text(await client.content_of(await answered(client, posted)))
            except Unreachable:
                raise
            except PenstockError as exc:  # the conversation goes on
                ERRORS.print(str(exc), style="red", markup=False, soft_wrap=True)
        if conversation is not None:
            ERRORS.print(f"go on with: penstock chat --conversation {conversation} --user {user}", markup=False)


def _line() -> str | None:
    """What the user types; None at the end of the input."""
    try:
        return input("> ")
    except EOFError:
        return None
