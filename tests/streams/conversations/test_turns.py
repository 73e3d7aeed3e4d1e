"""Turns: what a message becomes, one at a time, and what the agent is told of those before."""

from __future__ import annotations

from typing import Any

import pytest

from penstock_schemas import ids
from penstock_schemas import records as r
from penstock_schemas.traces import TraceContext
from penstock_streams.conversations import model as m
from penstock_streams.conversations.policy import KEPT_US, MAX_WAITING, Window
from tests.streams.conversations.talk import CONVERSATION, finish, post, requests, said, stage, then
from tests.streams.partition import Partition, kinds, only


def test_a_first_message_starts_a_conversation_under_an_id_derived_from_it():
    written = stage().send(post("m1", "hello  there"))
    assert kinds(written) == ["ConversationStarted", "RequestExecution", "TurnStarted"]
    started, request = only(written, r.ConversationStarted), only(written, r.RequestExecution)
    assert (started.conversation_id, started.title) == (ids.conversation_id("acme", "ann", "m1"), "hello there")
    assert (request.conversation_id, request.turn_number, request.input) == (CONVERSATION, 1, "hello  there")
    assert only(written, r.TurnStarted).execution_id == ids.execution_id("acme", request.request_id)


def test_the_run_that_answers_gets_what_the_message_asks_of_it():
    asked = {"model": "gpt-4", "max_tokens": 9, "timeout_s": 7, "max_attempts": 5, "queue": "slow"}
    talk = stage()
    talk.send(post("m1"))
    talk.send(then("m2", **asked))
    (request,) = requests(talk.send(finish("m1")))
    assert request.model_dump(include=set(asked)) == asked


def test_both_sides_of_a_turn_are_appended_at_once():
    talk = stage()
    talk.send(post("m1", "hello"))
    written = talk.send(finish("m1", output="hi", used_tokens=12))
    user, assistant = talk.all(r.TurnAppended)
    assert kinds(written) == ["TurnAppended", "TurnAppended"]
    assert (user.role, user.content, user.turn_number) == ("user", "hello", 1)
    assert (assistant.role, assistant.content, assistant.turn_number) == ("assistant", "hi", 1)
    assert (assistant.used_tokens, assistant.total_tokens) == (12, 12)


def test_a_later_message_brings_the_agent_what_was_said_before():
    talk = stage()
    talk.send(post("m1", "one"))
    talk.send(finish("m1", output="first"))
    talk.send(then("m2", "two"))
    talk.send(finish("m2", output="second"))
    (request,) = requests(talk.send(then("m3", "three")))
    assert request.turn_number == 3
    assert said(request) == [
        (1, "user", "one"),
        (1, "assistant", "first"),
        (2, "user", "two"),
        (2, "assistant", "second"),
    ]
    assert all(past.said_at for past in request.history)


def talked(turns: int, window: Window, content: str = "x" * 100) -> r.RequestExecution:
    """The request of the turn after `turns` of 200 bytes each."""
    talk = stage(assistant=window)
    for number in range(1, turns + 1):
        talk.send(post("m1", content) if number == 1 else then(f"m{number}", content))
        talk.send(finish(f"m{number}", output=content))
    (request,) = requests(talk.send(then("last")))
    return request


@pytest.mark.parametrize(
    ("window", "numbers"),
    [
        (Window(turns=2), [4, 5]),
        (Window(turns=0), []),
        (Window(bytes=650), [3, 4, 5]),
        (Window(tokens=120), [4, 5]),
        (Window(bytes=199), []),
    ],
)
def test_the_window_is_bounded_by_turns_bytes_and_tokens_and_takes_each_turn_whole(
    window: Window, numbers: list[int]
):
    request = talked(5, window)
    assert [past.turn_number for past in request.history] == [n for n in numbers for _ in range(2)]


def test_a_turn_writes_the_same_however_many_there_were():
    def row_bytes(turns: int) -> int:
        talk = stage(assistant=Window(turns=3))
        import msgspec

        for number in range(1, turns + 1):
            talk.send(post("m1") if number == 1 else then(f"m{number:06}"))
            if number == turns:
                before = dict(talk.rows)
            talk.send(finish("m1" if number == 1 else f"m{number:06}", output="same"))
        changed = [row for key, row in talk.rows.items() if before.get(key) != row]
        return sum(len(msgspec.msgpack.encode(row)) for row in changed)

    assert row_bytes(1_000) - row_bytes(10) <= 4  # two integers got longer


@pytest.mark.parametrize("status", ["failed", "timed_out", "cancelled", "rejected"])
def test_an_end_without_an_answer_leaves_turn_failed_and_a_usable_conversation(status: str):
    talk = stage()
    talk.send(post("m1", "hello"))
    failed = only(talk.send(finish("m1", status, error_type="why", error_message="because")), r.TurnFailed)
    assert (failed.status, failed.error_type, failed.content, failed.turn_number) == (status, "why", "hello", 1)
    (request,) = requests(talk.send(then("m2", "again")))
    assert (request.turn_number, request.history) == (1, [])


def test_the_end_of_another_execution_changes_nothing():
    talk = stage()
    talk.send(post("m1"))
    assert talk.send(finish("m2")) == []
    assert talk.send(finish("m1"))
    assert talk.send(finish("m1")) == []


def busy() -> Partition:
    talk = stage()
    talk.send(post("m1", "one"))
    return talk


def test_enqueue_runs_messages_one_after_the_other_in_their_order():
    talk = busy()
    assert [only(talk.send(then(m)), r.MessageQueued).position for m in ("m2", "m3")] == [1, 2]
    written = talk.send(finish("m1", output="first"))
    assert kinds(written) == ["TurnAppended", "TurnAppended", "RequestExecution", "TurnStarted"]
    assert said(only(written, r.RequestExecution)) == [(1, "user", "one"), (1, "assistant", "first")]
    assert only(talk.send(finish("m2")), r.TurnStarted).message_id == "m3"
    assert [row for row in talk.rows if row.startswith("waiting/")] == []


def test_reject_refuses_a_message_while_a_turn_runs_and_takes_it_when_none_does():
    talk = busy()
    assert only(talk.send(then("m2", on_busy="reject")), r.MessageRejected).reason == "busy"
    assert talk.send(then("m2", on_busy="reject")) == [], "it was answered"
    talk.send(finish("m1"))
    assert only(talk.send(then("m3", on_busy="reject")), r.TurnStarted).turn_number == 2


def test_interrupt_cancels_what_runs_and_goes_before_what_waits():
    talk = busy()
    talk.send(then("m2"))
    written = talk.send(then("m3", on_busy="interrupt"))
    cancel = only(written, r.CancelExecution)
    assert cancel.execution_id == finish("m1").execution_id
    assert "m3" in cancel.reason
    ended = talk.send(finish("m1", "cancelled", error_message=cancel.reason))
    assert kinds(ended) == ["TurnFailed", "RequestExecution", "TurnStarted"]
    assert only(ended, r.TurnStarted).message_id == "m3"
    assert only(talk.send(finish("m3")), r.TurnStarted).message_id == "m2"


def test_a_second_interrupt_does_not_cancel_twice():
    talk = busy()
    talk.send(then("m2", on_busy="interrupt"))
    assert kinds(talk.send(then("m3", on_busy="interrupt"))) == ["MessageQueued"]


def test_an_answer_that_comes_before_its_cancellation_counts():
    talk = busy()
    talk.send(then("m2", on_busy="interrupt"))
    assert kinds(talk.send(finish("m1")))[:2] == ["TurnAppended", "TurnAppended"]


def test_only_so_many_messages_wait():
    talk = busy()
    for n in range(MAX_WAITING):
        assert kinds(talk.send(then(f"w{n}"))) == ["MessageQueued"]
    assert only(talk.send(then("too-many")), r.MessageRejected).reason == "queue_full"


def test_the_same_message_is_answered_once_and_another_under_its_id_refused():
    talk = busy()
    assert talk.send(post("m1", "one")) == []
    assert only(talk.send(post("m1", "two")), r.MessageRejected).reason == "duplicate_mismatch"
    other = post("m1", "one", max_attempts=5)
    assert only(talk.send(other), r.MessageRejected).reason == "duplicate_mismatch"
    talk.send(finish("m1"))
    assert talk.send(post("m1", "one")) == []
    talk.advance(KEPT_US)
    assert [row for row in talk.rows.values() if isinstance(row, m.Answered)] == []


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (post(content=""), "invalid_message"),
        (post(content=" \n"), "invalid_message"),
        (post(content="x" * (300 * 1024)), "message_too_large"),
        (post(agent_type=None), "invalid_message"),
        (post(agent_type="no name"), "invalid_message"),
        (post(on_busy="panic"), "invalid_message"),
        (post(title=""), "invalid_message"),
        (post(metadata={"k": "v" * 9000}), "invalid_message"),
    ],
)
def test_a_message_that_cannot_be_taken_starts_nothing(message: r.PostMessage, reason: str):
    talk = stage()
    rejected = only(talk.send(message), r.MessageRejected)
    assert (rejected.reason, rejected.refused_event_id) == (reason, "e-m1")
    assert (talk.rows, talk.timers) == ({}, {})


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"agent_type": "echo"}, "agent_mismatch"),
        ({"title": "new"}, "invalid_message"),
        ({"content": ""}, "invalid_message"),
    ],
)
def test_a_bad_later_message_leaves_the_conversation_as_it_was(fields: dict[str, Any], reason: str):
    talk = busy()
    before = dict(talk.rows)
    assert only(talk.send(then("m2", **fields)), r.MessageRejected).reason == reason
    assert talk.rows == before


def test_another_users_conversation_and_one_that_does_not_exist_answer_the_same():
    talk = busy()
    answers = [
        only(talk.send(message), r.MessageRejected)
        for message in (
            then("m2", user_id="bob"),
            then("m2", tenant_id="globex"),
            then("m2", conversation_id="of-my-own-choice"),
        )
    ]
    assert {(answer.reason, answer.detail) for answer in answers} == {
        ("not_found", "this user has no such conversation")
    }
    assert "conversation/of-my-own-choice" not in talk.rows


def test_a_turn_belongs_to_the_trace_of_its_own_message():
    one, two = (TraceContext(f"00-{digit * 32}-{digit * 16}-01") for digit in "12")
    talk = stage()
    talk.send(post("m1"), trace=one)
    talk.send(then("m2"), trace=two)
    talk.send(finish("m1"), trace=one)
    of_requests = [output.trace for output in talk.outputs if isinstance(output.record, r.RequestExecution)]
    assert of_requests == [one, two]
