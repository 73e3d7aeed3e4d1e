"""Deletion: gone at once, never back, in steps, and nothing of anybody else's."""

from __future__ import annotations

from typing import Any

from penstock_schemas import records as r
from penstock_streams.conversations import model as m
from penstock_streams.conversations.policy import KEPT_US, REMOVED_AT_ONCE
from tests.streams.conversations.talk import CONVERSATION, finish, post, stage, started_by, then
from tests.streams.partition import Partition, kinds, only


def delete(**fields: Any) -> r.DeleteConversation:
    values = {"tenant_id": "acme", "user_id": "ann", "conversation_id": CONVERSATION, "event_id": "d"}
    return r.DeleteConversation(**(values | fields))


def delete_user(user: str = "ann", command: str = "c1") -> r.DeleteUser:
    return r.DeleteUser(tenant_id="acme", user_id=user, command_id=command, partition=3)


def talked(turns: int) -> Partition:
    talk = stage()
    for number in range(1, turns + 1):
        talk.send(post("m1") if number == 1 else then(f"m{number}"))
        talk.send(finish(f"m{number}"))
    return talk


def test_a_deleted_conversation_is_gone_at_once_and_its_rows_in_steps():
    talk = talked(REMOVED_AT_ONCE + 100)
    written = talk.send(delete())
    assert kinds(written) == ["ConversationDeleted", "ErasePayloads"]
    assert only(written, r.ConversationDeleted).turn_count == REMOVED_AT_ONCE + 100
    assert only(talk.send(then("later")), r.MessageRejected).reason == "not_found"
    talk.decide_timer(m.removal_name(CONVERSATION))
    assert sum(isinstance(row, m.Turn) for row in talk.rows.values()) == 100
    talk.advance(0)
    assert not any(isinstance(row, m.Turn | m.Owned) for row in talk.rows.values())


def test_what_runs_is_cancelled_and_what_waits_is_dropped():
    talk = stage()
    talk.send(post("m1"))
    talk.send(then("m2"))
    assert kinds(talk.send(delete())) == ["CancelExecution", "ConversationDeleted", "ErasePayloads"]
    assert not any(isinstance(row, m.Waiting) for row in talk.rows.values())


def test_a_late_end_of_its_run_appends_nothing_and_what_it_left_is_removed():
    talk = stage()
    talk.send(post("m1"))
    talk.send(delete())
    assert kinds(talk.send(finish("m1"))) == ["ErasePayloads"]


def test_the_first_message_sent_again_does_not_bring_it_back():
    talk = talked(1)
    talk.send(delete())
    talk.advance(KEPT_US - 1)
    assert only(talk.send(post("m1")), r.MessageRejected).reason == "not_found"
    assert kinds(talk.written)[-2:] == ["ErasePayloads", "MessageRejected"], "late payloads went, too"


def test_its_marker_goes_once_its_requests_cannot_be_read_again():
    talk = talked(1)
    talk.send(delete())
    talk.advance(KEPT_US)
    assert list(talk.rows.values()) == [m.Owner(1)]
    assert talk.timers == {}


def test_nobody_else_can_delete_it_and_learns_nothing():
    talk = talked(1)
    before = dict(talk.rows)
    answers = [
        only(talk.send(command), r.DeletionRejected)
        for command in (delete(user_id="bob"), delete(tenant_id="globex"), delete(conversation_id="none"))
    ]
    assert {answer.reason for answer in answers} == {"not_found"}
    assert talk.rows == before


def test_deleting_a_user_deletes_their_conversations_and_nobody_elses():
    talk = stage()
    for user in ("ann", "bob"):
        for n in range(3):
            talk.send(post(f"{user}{n}", user_id=user))
    talk.send(delete(conversation_id=started_by("ann1")))
    talk.send(delete_user())
    talk.advance(0)
    deleted = {(event.conversation_id, event.cause) for event in talk.all(r.ConversationDeleted)}
    assert deleted == {
        (started_by("ann0"), "user"),
        (started_by("ann1"), "conversation"),
        (started_by("ann2"), "user"),
    }
    (answer,) = talk.all(r.UserDeleted)
    assert (answer.conversations, answer.partition, answer.command_id) == (2, 3, "c1")
    assert only(talk.send(post("ann9")), r.ConversationStarted), "the user may come back"
    assert sum(isinstance(row, m.Conversation) and row.user_id == "bob" for row in talk.rows.values()) == 3


def test_a_user_of_many_conversations_goes_in_steps():
    talk = stage()
    for n in range(REMOVED_AT_ONCE + 1):
        talk.send(post(f"a{n}"))
    talk.send(delete_user())
    first = talk.decide_timer(m.erasing_key("acme", "ann"))
    assert kinds(first).count("ConversationDeleted") == REMOVED_AT_ONCE
    assert talk.all(r.UserDeleted) == []
    talk.advance(0)
    assert [answer.conversations for answer in talk.all(r.UserDeleted)] == [REMOVED_AT_ONCE + 1]


def test_who_asks_again_meanwhile_is_answered_too_and_what_was_begun_meanwhile_goes():
    talk = stage()
    for n in range(REMOVED_AT_ONCE + 1):
        talk.send(post(f"a{n}"))
    talk.send(delete_user())
    talk.decide_timer(m.erasing_key("acme", "ann"))
    talk.send(post("meanwhile"))
    assert talk.send(delete_user(command="c2")) == []
    talk.advance(0)
    answers = [(answer.command_id, answer.conversations) for answer in talk.all(r.UserDeleted)]
    assert answers == [("c1", REMOVED_AT_ONCE + 2), ("c2", REMOVED_AT_ONCE + 2)]
    assert not any(isinstance(row, m.Conversation | m.Owner | m.Erasing) for row in talk.rows.values())


def test_a_user_nobody_knows_has_none():
    assert [event.conversations for event in stage().send(delete_user("nobody"))] == [0]  # type: ignore[attr-defined]


def test_a_users_name_may_be_any_text():
    talk = stage()
    for user in ("a/b", "a/b/0", "0/a"):
        talk.send(post(f"of {user}", user_id=user))
    talk.send(delete_user("a/b"))
    talk.advance(0)
    assert [event.user_id for event in talk.all(r.ConversationDeleted)] == ["a/b"]
