"""`penstock chat`: by itself for people at a terminal; `send`, `show`, `list` and `delete` for scripts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from penstock.cli.input import input_text
from penstock.cli.output import (
    ERRORS,
    OUT,
    AsJson,
    as_dict,
    complete,
    local_time,
    print_fields,
    print_json,
    print_table,
    print_text,
)
from penstock.cli.talking import DEFAULT_AGENT, answered, talk

if TYPE_CHECKING:
    from penstock.conversation_models import Conversation

TenantOption = Annotated[str, typer.Option("--tenant", "-t", help="Who pays.")]
UserOption = Annotated[str, typer.Option("--user", "-u", help="Whose conversation; nobody else sees it.")]
AgentOption = Annotated[str | None, typer.Option(help=f"Agent of a new conversation; default: {DEFAULT_AGENT}.")]
ModelOption = Annotated[str | None, typer.Option(help="Ask the agent for this model.")]


def register(app: typer.Typer) -> None:
    """Add the group `chat`."""
    group = typer.Typer(help="Talk with an agent, which remembers.", invoke_without_command=True)
    group.callback()(chat)
    group.command("send")(send)
    group.command("show")(show)
    group.command("list")(list_conversations)
    group.command("delete")(delete)
    app.add_typer(group, name="chat")


def chat(
    context: typer.Context,
    user: UserOption = "me",
    tenant: TenantOption = "default",
    conversation: Annotated[str | None, typer.Option(help="Go on with this one.")] = None,
    agent: AgentOption = None,
    model: ModelOption = None,
) -> None:
    """Talk with an agent at the terminal, or by `send` and its like from a script."""
    if context.invoked_subcommand is None:
        complete(talk(tenant, user, conversation, agent, model))


def send(
    text: Annotated[str, typer.Argument(help="The message, @FILE, or - for standard input.")],
    user: UserOption,
    tenant: TenantOption = "default",
    conversation: Annotated[str | None, typer.Option(help="Continue this one; default: a new one.")] = None,
    agent: AgentOption = None,
    on_busy: Annotated[
        str, typer.Option(help="While an earlier turn runs: enqueue, reject or interrupt.")
    ] = "enqueue",
    message_id: Annotated[
        str | None, typer.Option(help="Your own id: the same message sent twice is answered once.")
    ] = None,
    title: Annotated[str | None, typer.Option(help="Of a new conversation.")] = None,
    model: ModelOption = None,
    max_tokens: Annotated[int | None, typer.Option(help="Ceiling of output tokens.")] = None,
    timeout_s: Annotated[int | None, typer.Option("--timeout", help="Run deadline in seconds.")] = None,
    max_attempts: Annotated[int | None, typer.Option(help="Attempts in all, from 1 to 10.")] = None,
    queue: Annotated[str, typer.Option(help="Which workers.")] = "agents-default",
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Show progress, then print the answer.")] = True,
    as_json: AsJson = False,
) -> None:
    """Send one message, and print the answer; the conversation's id goes to standard error.

    With --no-wait: print the conversation's id, and do not wait for the answer.
    """
    content = input_text(text, "TEXT")

    async def go() -> None:
        from penstock.client import Client

        async with Client() as client:
            posted = await client.post_message(
                content,
                tenant=tenant,
                user=user,
                conversation=conversation,
                agent=agent or (DEFAULT_AGENT if conversation is None else None),
                on_busy=on_busy,
                message_id=message_id,
                title=title,
                model=model,
                max_tokens=max_tokens,
                timeout_s=timeout_s,
                max_attempts=max_attempts,
                queue=queue,
            )
            if not wait:
                print_json(posted) if as_json else print(posted.conversation_id)
                return
            if not as_json:
                ERRORS.print(f"conversation {posted.conversation_id}", highlight=False, soft_wrap=True)
            turn = await answered(client, posted)
            answer = await client.content_of(turn)
            if as_json:
                print_json(as_dict(turn) | {"conversation_id": posted.conversation_id, "content": answer})
            else:
                print_text(answer)

    complete(go())


def show(
    conversation_id: Annotated[str, typer.Argument(help="Id of the conversation.")],
    user: UserOption,
    tenant: TenantOption = "default",
    turns: Annotated[int, typer.Option(help="At most this many of the latest turns.")] = 100,
    as_json: AsJson = False,
) -> None:
    """Show a conversation and its latest turns, as of now."""

    async def go() -> tuple[Conversation, list[str]]:
        from penstock.client import Client

        async with Client() as client:
            found = await client.conversation(conversation_id, tenant=tenant, user=user, turns=turns)
            return found, [await client.content_of(turn) for turn in found.turns]

    found, said = complete(go())
    if as_json:
        sides = [as_dict(turn) | {"content": text} for turn, text in zip(found.turns, said, strict=True)]
        print_json(as_dict(found) | {"turns": sides})
        return
    print_fields(
        [
            ("conversation_id", found.conversation_id),
            ("title", found.title),
            ("agent_type", found.agent_type),
            ("turns", f"{found.turn_count:,}" + (", and one runs" if found.running else "")),
            ("failed turns", str(found.failed_turns or "")),
            ("tokens", f"{found.total_tokens:,}"),
            ("cost", f"{found.cost_usd} USD" if found.cost_nanousd else ""),
            ("started_at", local_time(found.started_at)),
            ("last_activity_at", local_time(found.last_activity_at)),
        ]
    )
    for turn, text in zip(found.turns, said, strict=True):
        failed = "" if turn.status == "appended" else f", {turn.status}: {turn.error_type}: {turn.error_message}"
        OUT.print(f"\n{turn.turn_number}. {turn.role}, {local_time(turn.said_at)}{failed}", markup=False)
        print_text(text)


def list_conversations(
    user: UserOption,
    tenant: TenantOption = "default",
    limit: Annotated[int, typer.Option(help="At most this many.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List a user's conversations, the last used first."""

    async def go() -> list[Conversation]:
        from penstock.client import Client

        async with Client() as client:
            return list(await client.conversations(tenant, user, limit))

    found = complete(go())
    if as_json:
        print_json(found)
        return
    rows = [
        (
            c.conversation_id,
            c.agent_type,
            f"{c.turn_count:,}",
            f"{c.total_tokens:,}",
            local_time(c.last_activity_at),
            c.title,
        )
        for c in found
    ]
    print_table(("conversation", "agent", ">turns", ">tokens", "last used", "title"), rows)


def delete(
    conversation_id: Annotated[str, typer.Argument(help="Id of the conversation.")],
    user: UserOption,
    tenant: TenantOption = "default",
    as_json: AsJson = False,
) -> None:
    """Forget a conversation, and wait until it is gone. A running turn is cancelled; executions and bills stay."""

    async def go() -> None:
        from penstock.client import Client

        async with Client() as client:
            await client.delete_conversation(conversation_id, tenant=tenant, user=user)

    complete(go())
    print_json({"conversation_id": conversation_id, "deleted": True}) if as_json else print("deleted")
