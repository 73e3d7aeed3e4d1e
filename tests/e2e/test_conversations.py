"""Conversations on the whole stack: remembered, owned, one turn at a time, deleted for good."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

import penstock
from penstock.errors import (
    ExecutionCancelledError,
    ExecutionFailedError,
    InvalidInput,
    MessageRejected,
    NotFound,
    PayloadTooLarge,
    RequestRejected,
)
from penstock.settings import ArtifactSettings
from penstock_schemas import records as r
from penstock_schemas.ids import payload_scope
from penstock_schemas.topics import CONVERSATIONS_REQUESTS
from tests.e2e.conftest import Stack
from tests.e2e.waiting import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]
ROOT = Path(__file__).parents[2]
TENANT = "talkers"
ANSWERED_WITHIN_S = 60.0
Talk = Callable[[Callable[[penstock.Client], Coroutine[Any, Any, Any]]], Any]


@pytest.fixture
def talk(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> Talk:
    """Runs a coroutine with a client of the stack."""
    for name, value in stack.env.items():
        if os.environ.get(name) != value:
            monkeypatch.setenv(name, value)

    def run(go: Callable[[penstock.Client], Coroutine[Any, Any, Any]]) -> Any:
        async def opened() -> Any:
            async with penstock.Client() as client:
                return await go(client)

        return asyncio.run(opened())

    return run


@pytest.fixture
def user() -> str:
    """A user nobody else is."""
    return f"user-{uuid4()}"


async def said(client: penstock.Client, posted: penstock.PostedMessage) -> str:
    return await client.content_of(await client.answer(posted, timeout_s=ANSWERED_WITHIN_S))


@asynccontextmanager
async def busy(client: penstock.Client, user: str) -> AsyncIterator[str]:
    """A conversation whose turn runs for ten minutes; its id."""
    posted = await client.post_message("600", tenant=TENANT, user=user, agent="waits")
    async for record in client.follow(posted.execution_id, timeout_s=ANSWERED_WITHIN_S):
        if isinstance(record, r.AttemptStarted):
            break
    yield posted.conversation_id


def test_a_chat_of_three_turns_remembers(stack: Stack, user: str):
    first = stack.json("chat", "send", "My cat is called Mikesch.", "--user", user, "--tenant", TENANT)
    conversation = first["conversation_id"]
    rest = ("--user", user, "--tenant", TENANT, "--conversation", conversation)
    stack.json("chat", "send", "My dog is called Rex.", *rest)
    third = stack.penstock("chat", "send", "What are they called?", *rest)
    assert third.returncode == 0, third.stderr
    assert "Mikesch" in third.stdout
    assert "Rex" in third.stdout
    shown = stack.json("chat", "show", conversation, "--user", user, "--tenant", TENANT)
    assert [(turn["turn_number"], turn["role"]) for turn in shown["turns"]] == [
        (n, role) for n in (1, 2, 3) for role in ("user", "assistant")
    ]
    assert (shown["turn_count"], shown["title"]) == (3, "My cat is called Mikesch.")
    assert shown["total_tokens"] == sum(turn["used_tokens"] or 0 for turn in shown["turns"]) > 0

    def listed() -> Any:
        (found,) = stack.json("chat", "list", "--user", user, "--tenant", TENANT)
        return found if found["turn_count"] == 3 else None

    assert eventually(listed)["total_tokens"] == shown["total_tokens"]

    def cost() -> int:
        return int(stack.json("chat", "show", conversation, "--user", user, "--tenant", TENANT)["cost_nanousd"])

    assert eventually(cost) > 0


def test_people_chat_at_a_terminal(stack: Stack, user: str):
    typed = "The sea is blue.\n\n/help\nWhich colour?\n/quit\nnever said\n"
    done = stack.penstock("chat", "--user", user, "--tenant", TENANT, stdin=typed)
    assert done.returncode == 0, done.stderr
    assert "Earlier you said\n- The sea is blue." in done.stdout
    assert "never said" not in done.stdout
    assert "/quit" in done.stderr
    assert "penstock chat --conversation" in done.stderr


def test_another_users_conversation_and_none_at_all_are_the_same(stack: Stack, talk: Talk, user: str):
    async def go(client: penstock.Client) -> None:
        mine = await client.post_message("hello", tenant=TENANT, user=user, agent="echo")
        await said(client, mine)
        for conversation, tenant, who in (
            (mine.conversation_id, TENANT, "somebody else"),
            (mine.conversation_id, "others", user),
            ("chosen by me", TENANT, user),
        ):
            whose = {"tenant": tenant, "user": who}
            posted = await client.post_message("let me in", conversation=conversation, **whose)
            expected = f"user {who!r} has no conversation {conversation!r}"
            for call in (
                client.answer(posted, timeout_s=ANSWERED_WITHIN_S),
                client.conversation(conversation, **whose),
                client.delete_conversation(conversation, **whose),
            ):
                with pytest.raises(NotFound) as refused:
                    await call
                assert str(refused.value) == expected
        assert (await client.conversation(mine.conversation_id, tenant=TENANT, user=user)).turn_count == 1

    talk(go)


def test_enqueued_messages_are_answered_in_their_order(talk: Talk, user: str):
    async def go(client: penstock.Client) -> None:
        whose = {"tenant": TENANT, "user": user}
        first = await client.post_message("1", agent="echo", **whose)
        rest = [
            await client.post_message(str(n), conversation=first.conversation_id, **whose) for n in range(2, 6)
        ]
        assert [await said(client, posted) for posted in (first, *rest)] == ["1", "2", "3", "4", "5"]
        found = await client.conversation(first.conversation_id, **whose)
        assert [turn.content for turn in found.turns if turn.role == "user"] == ["1", "2", "3", "4", "5"]

    talk(go)


def test_two_messages_at_once_one_of_which_is_not_to_wait(talk: Talk, user: str):
    async def go(client: penstock.Client) -> None:
        async with busy(client, user) as conversation:
            whose = {"tenant": TENANT, "user": user, "conversation": conversation}
            refused = await client.post_message("1", on_busy="reject", **whose)
            with pytest.raises(MessageRejected, match="busy"):
                await client.answer(refused, timeout_s=ANSWERED_WITHIN_S)
            await client.delete_conversation(conversation, tenant=TENANT, user=user)

    talk(go)


def test_an_interrupting_message_ends_the_turn_that_runs_and_is_answered(talk: Talk, user: str):
    async def go(client: penstock.Client) -> None:
        async with busy(client, user) as conversation:
            whose = {"tenant": TENANT, "user": user}
            posted = await client.post_message("0", conversation=conversation, on_busy="interrupt", **whose)
            await client.answer(posted, timeout_s=ANSWERED_WITHIN_S)
            found = await client.conversation(conversation, **whose)
            assert [(turn.turn_number, turn.role, turn.status) for turn in found.turns] == [
                (1, "user", "cancelled"),
                (1, "user", "appended"),
                (1, "assistant", "appended"),
            ]
            assert posted.message_id in (found.turns[0].error_message or "")

    talk(go)


def test_a_failed_turn_leaves_a_conversation_that_goes_on(talk: Talk, user: str):
    async def go(client: penstock.Client) -> None:
        whose = {"tenant": TENANT, "user": user}
        failing = await client.post_message("x", agent="fails", **whose)
        with pytest.raises(ExecutionFailedError):
            await client.answer(failing, timeout_s=ANSWERED_WITHIN_S)
        found = await client.conversation(failing.conversation_id, **whose)
        assert (found.turn_count, found.failed_turns, found.running) == (0, 1, False)
        again = await client.post_message("y", conversation=failing.conversation_id, **whose)
        with pytest.raises(ExecutionFailedError):
            await client.answer(again, timeout_s=ANSWERED_WITHIN_S)

    talk(go)


def test_a_turn_that_accounts_does_not_admit_is_a_failed_turn(stack: Stack, talk: Talk, user: str):
    assert stack.penstock("tenants", "set", "broke", "--tier", "free", "--monthly-tokens", "10").returncode == 0

    async def go(client: penstock.Client) -> None:
        posted = await client.post_message("x", tenant="broke", user=user, agent="echo")
        with pytest.raises(RequestRejected, match="budget_exceeded"):
            await client.answer(posted, timeout_s=ANSWERED_WITHIN_S)
        found = await client.conversation(posted.conversation_id, tenant="broke", user=user)
        assert [turn.status for turn in found.turns] == ["rejected"]

    talk(go)


def test_bad_messages_are_refused_before_anything_starts(stack: Stack, talk: Talk, user: str):
    async def go(client: penstock.Client) -> None:
        whose = {"tenant": TENANT, "user": user}
        for bad, error in (("", InvalidInput), (" \n ", InvalidInput), ("x" * 300 * 1024, PayloadTooLarge)):
            with pytest.raises(error):
                await client.post_message(bad, agent="echo", **whose)
        mine = await client.post_message("hello", agent="echo", **whose)
        other = await client.post_message("hello", agent="assistant", conversation=mine.conversation_id, **whose)
        with pytest.raises(MessageRejected, match="agent_mismatch"):
            await client.answer(other, timeout_s=ANSWERED_WITHIN_S)
        for content, reason in (("", "invalid_message"), ("x" * 300 * 1024, "message_too_large")):
            refused = await raw(client, content, user)  # as a producer would that does not use the SDK
            with pytest.raises(MessageRejected, match=reason):
                await client.answer(refused, timeout_s=ANSWERED_WITHIN_S)

    talk(go)
    (stack.home.parent / "latin.txt").write_bytes("Käse".encode("latin-1"))
    done = stack.penstock("chat", "send", "@latin.txt", "--user", user)
    assert (done.returncode, "UTF-8" in done.stderr) == (2, True)
    none = stack.penstock("chat", "list", "--user", user, "--tenant", "nobody", "--json")
    assert (none.returncode, none.stdout.strip()) == (0, "[]")


async def raw(client: penstock.Client, content: str, user: str) -> penstock.PostedMessage:
    posted = await client.post_message("stands for another", tenant="elsewhere", user=user, agent="echo")
    message = r.PostMessage(
        event_id=str(uuid4()),
        tenant_id=TENANT,
        occurred_at=1,
        user_id=user,
        message_id=str(uuid4()),
        content=content,
        agent_type="echo",
    )
    offsets = {"conversation_id": message.addressed_id, "events_offset": 0, "event_id": message.event_id}
    await client._submitting.produce(CONVERSATIONS_REQUESTS, message)
    return posted.model_copy(update=offsets | {"tenant_id": TENANT, "message_id": message.message_id})


def payload_folder(user: str, conversation: str) -> Path:
    url = ArtifactSettings().url
    assert url is not None
    return Path(url.removeprefix("file://")) / "conversations" / payload_scope(TENANT, user, conversation)


def test_deletion_removes_turns_and_payloads_and_nothing_brings_them_back(stack: Stack, talk: Talk, user: str):
    large = "a large message. " * 3_000
    whose = ("--user", user, "--tenant", TENANT)

    async def go(client: penstock.Client) -> penstock.PostedMessage:
        first = await client.post_message(large, tenant=TENANT, user=user, agent="echo", message_id="the first")
        assert await said(client, first) == large
        second = await client.post_message("n", tenant=TENANT, user=user, conversation=first.conversation_id)
        await said(client, second)
        return first

    first = talk(go)
    conversation = first.conversation_id
    folder = payload_folder(user, conversation)
    assert len(list(folder.iterdir())) == 1, "both sides said the same"
    eventually(lambda: stack.json("chat", "list", *whose)[0]["turn_count"] == 2)
    assert stack.json("chat", "delete", conversation, *whose)["deleted"] is True
    eventually(lambda: not folder.exists())

    async def gone(client: penstock.Client) -> None:
        with pytest.raises(NotFound):
            await client.conversation(conversation, tenant=TENANT, user=user)
        again = await client.post_message(large, tenant=TENANT, user=user, agent="echo", message_id="the first")
        with pytest.raises(NotFound):
            await client.answer(again, timeout_s=ANSWERED_WITHIN_S)
        eventually_loaded = client._reading.rows
        deadline = asyncio.get_running_loop().time() + 30
        query = (
            "SELECT count() AS n FROM conversations_events WHERE conversation_id = {id:String} "
            "AND record_type = 'ConversationDeleted'"
        )
        while (await eventually_loaded(query, {"id": conversation}))[0]["n"] == 0:
            assert asyncio.get_running_loop().time() < deadline
            await asyncio.sleep(0.1)
        for view in ("v_conversations", "v_conversation_turns"):
            rows = await client._reading.rows(
                f"SELECT count() AS n FROM {view} WHERE conversation_id = {{id:String}}", {"id": conversation}
            )
            assert rows[0]["n"] == 0, view
        outputs = "SELECT output FROM v_executions WHERE conversation_id = {id:String}"
        shown = await client._reading.rows(outputs, {"id": conversation})
        assert {row["output"] for row in shown} == {None}, "executions stay, without what was said"
        assert len(shown) == 2

    talk(gone)


def test_deleting_a_user_deletes_all_of_theirs_and_nobody_elses(stack: Stack, talk: Talk, user: str):
    async def go(client: penstock.Client) -> None:
        for owner in (user, f"{user}-other"):
            for n in range(4):
                await said(client, await client.post_message(f"{n}", tenant=TENANT, user=owner, agent="echo"))

    talk(go)
    deleted = stack.json("users", "delete", user, "--tenant", TENANT)
    assert deleted["conversations"] == 4
    eventually(lambda: stack.json("chat", "list", "--user", user, "--tenant", TENANT) == [])
    kept = eventually(lambda: stack.json("chat", "list", "--user", f"{user}-other", "--tenant", TENANT))
    assert len(kept) == 4


def test_a_cancelled_run_is_a_failed_turn(stack: Stack, talk: Talk, user: str):
    async def go(client: penstock.Client) -> None:
        async with busy(client, user) as conversation:
            found = await client.conversation(conversation, tenant=TENANT, user=user)
            assert found.running
            posted = await client.post_message("600", tenant=TENANT, user=user, agent="waits")
            async for record in client.follow(posted.execution_id, timeout_s=ANSWERED_WITHIN_S):
                if isinstance(record, r.AttemptStarted):
                    await client.cancel(posted.execution_id, reason="enough")
            with pytest.raises(ExecutionCancelledError, match="enough"):
                await client.answer(posted, timeout_s=ANSWERED_WITHIN_S)
            await client.delete_conversation(conversation, tenant=TENANT, user=user)

    talk(go)


def test_the_example_of_the_page_runs_as_it_stands_there(stack: Stack):
    page = (ROOT / "docs" / "conversations.md").read_text()
    (code,) = re.findall(r"<!-- example: chat -->\n```python\n(.*?)```", page, re.DOTALL)
    done = subprocess.run([sys.executable, "-c", code], env=stack.env, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    assert "Earlier you said\n- My cat is called Mikesch." in done.stdout
    assert done.stdout.splitlines()[-1] == "2"
