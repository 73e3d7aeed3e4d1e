"""Whatever order messages, ends and deletions come in: no turn is lost or doubled, and one runs at a time."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from penstock_schemas import ids
from penstock_schemas import records as r
from penstock_streams.conversations import model as m
from tests.streams.conversations.talk import stage

USERS = ("ann", "bob")
FIRST = {user: ids.conversation_id("acme", user, "m0") for user in USERS}

posts = st.tuples(
    st.just("post"),
    st.sampled_from(USERS),
    st.integers(0, 6),
    st.sampled_from(["enqueue", "reject", "interrupt"]),
)
ends = st.tuples(
    st.just("end"),
    st.sampled_from(USERS),
    st.integers(0, 6),
    st.sampled_from(["completed", "completed", "failed", "cancelled", "rejected"]),
)
deletions = st.tuples(st.just("delete"), st.sampled_from(USERS), st.sampled_from(["one", "user"]), st.just(""))


@settings(max_examples=150, deadline=None)
@given(st.lists(st.one_of(posts, posts, ends, ends, ends, deletions), max_size=40))
def test_no_turn_is_lost_or_doubled_and_one_runs_at_a_time(steps: list[tuple[str, str, object, str]]):
    talk = stage()
    open_runs: dict[str, list[str]] = {user: [] for user in USERS}
    ended: dict[str, list[str]] = {user: [] for user in USERS}
    for kind, user, which, how in steps:
        conversation, before = FIRST[user], len(talk.written)
        if kind == "post":
            talk.send(
                r.PostMessage(
                    tenant_id="acme",
                    user_id=user,
                    conversation_id=None if which == 0 else conversation,
                    message_id=f"m{which}",
                    content=f"{user} says {which}",
                    agent_type="echo",
                    on_busy=how,
                )
            )
        elif kind == "end":
            request_id = ids.turn_request_id(conversation, f"m{which}")
            execution = ids.execution_id("acme", request_id)
            if execution not in open_runs[user]:  # an execution ends once, and only if it was asked for
                continue
            open_runs[user].remove(execution)
            ended[user].append(execution)
            talk.send(
                r.FinishTurn(
                    tenant_id="acme",
                    conversation_id=conversation,
                    user_id=user,
                    execution_id=execution,
                    turn_number=1,
                    status=how,
                    output="done",
                )
            )
        elif which == "one":
            talk.send(r.DeleteConversation(tenant_id="acme", user_id=user, conversation_id=conversation))
        else:
            talk.send(r.DeleteUser(tenant_id="acme", user_id=user, command_id="c", partition=0))
            talk.advance(0)
        for record in talk.written[before:]:
            if isinstance(record, r.TurnStarted):
                open_runs[record.user_id].append(record.execution_id)
        for each in USERS:
            row = talk.rows.get(m.conversation_key(FIRST[each]))
            if isinstance(row, m.Conversation):
                running = [row.running.execution_id] if row.running else []
                assert open_runs[each] == running, "what runs is what the head says, and at most one"
                assert row.waiting == sum(key.startswith(f"waiting/{FIRST[each]}/") for key in talk.rows)
                assert row.running or not row.waiting, "nothing waits for nothing"

    for user in USERS:
        deleted = any(isinstance(e, r.ConversationDeleted) and e.user_id == user for e in talk.written)
        appended = [e for e in talk.all(r.TurnAppended) if e.user_id == user]
        failed = [e.execution_id for e in talk.all(r.TurnFailed) if e.user_id == user]
        assert [e.turn_number for e in appended] == [n for n in range(1, len(appended) // 2 + 1) for _ in "ua"]
        assert [e.role for e in appended] == ["user", "assistant"] * (len(appended) // 2)
        decided = failed + [e.execution_id for e in appended if e.role == "user"]
        assert len(set(decided)) == len(decided), "an execution makes one turn"
        assert set(decided) <= set(ended[user])
        if not deleted:
            assert set(decided) == set(ended[user]), "every end makes one"
