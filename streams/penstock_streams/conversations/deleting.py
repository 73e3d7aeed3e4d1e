"""Forgetting a conversation, or all of a user's. Pure.

A deleted conversation is gone at once for everyone; its rows go in steps, so that no number of turns makes one
transaction large. A marker stays for as long as its requests can be read again, so that none brings it back.
"""

from __future__ import annotations

from msgspec.structs import replace

from penstock_schemas import records as r
from penstock_schemas import topics
from penstock_streams.conversations import model as m
from penstock_streams.conversations.policy import JOINED_AT_MOST, KEPT_US, REMOVED_AT_ONCE
from penstock_streams.kit import Decision, Output, Row, Rows, Timer


def remove(
    conversation_id: str, conversation: m.Conversation, now: int, decision: Decision, *, cause: str
) -> None:
    """Forget one conversation: what runs is cancelled, what waits is dropped."""
    tenant_id, user_id, key = conversation.tenant_id, conversation.user_id, m.conversation_key(conversation_id)
    if conversation.running is not None and not conversation.running.cancelling:
        decision.outputs.append(cancel_turn(conversation, conversation.running, "its conversation was deleted"))
    places = range(conversation.head, conversation.tail)
    decision.deletes += [m.waiting_key(conversation_id, place) for place in places]
    decision.deletes.append(m.owned_key(tenant_id, user_id, conversation.number))
    decision.puts[key] = m.Deleted(tenant_id, user_id, conversation.turn_count)
    decision.timers.append(Timer(key, now + KEPT_US // 2))
    if conversation.turn_count:
        decision.timers.append(Timer(m.removal_name(conversation_id), now))
    event = r.ConversationDeleted(
        tenant_id=tenant_id,
        conversation_id=conversation_id,
        user_id=user_id,
        turn_count=conversation.turn_count,
        cause=cause,
    )
    decision.outputs.append(Output(topics.CONVERSATIONS_EVENTS, event))
    decision.outputs.append(erase_payloads(tenant_id, user_id, conversation_id))


def go_on_removing(rows: Rows, conversation_id: str, now: int) -> Decision:
    """Remove the latest turns that are left; a timer due at once does the rest."""
    key = m.conversation_key(conversation_id)
    deleted = rows.get(key, m.Deleted)
    if deleted is None:
        raise LookupError(f"{key} is missing while its turns are being removed")
    left = max(deleted.turns_left - REMOVED_AT_ONCE, 0)
    decision = Decision(puts={key: replace(deleted, turns_left=left)})
    decision.deletes += [m.turn_key(conversation_id, n) for n in range(left + 1, deleted.turns_left + 1)]
    if left:
        decision.timers.append(Timer(m.removal_name(conversation_id), now))
    return decision


def forget(rows: Rows, conversation_id: str, now: int) -> Decision:
    """Halfway, remove what late messages and runs have put into a deleted one's folder; in the end, its marker."""
    key = m.conversation_key(conversation_id)
    deleted = rows.get(key, m.Deleted)
    if deleted is None or deleted.swept:
        return Decision(deletes=[key])
    return Decision(
        puts={key: replace(deleted, swept=True)},
        outputs=[erase_payloads(deleted.tenant_id, deleted.user_id, conversation_id)],
        timers=[Timer(key, now + KEPT_US // 2)],
    )


def delete_user(rows: Rows, command: r.DeleteUser, now: int) -> Decision:
    """Forget every conversation that a user has now. While that goes on, a later command joins it."""
    owner = rows.get(m.owner_key(command.tenant_id, command.user_id), m.Owner)
    asked = m.Asked(command.command_id, command.partition)
    if owner is None:
        return Decision(outputs=[_user_deleted(command.tenant_id, command.user_id, asked, 0)])
    key = m.erasing_key(command.tenant_id, command.user_id)
    erasing = rows.get(key, m.Erasing)
    if erasing is None:
        erasing = m.Erasing(command.command_id, command.partition, 0, owner.tail)
        return Decision(puts={key: erasing}, timers=[Timer(key, now)])
    joined = (*erasing.joined, asked)[-JOINED_AT_MOST:]
    return Decision(puts={key: replace(erasing, end=owner.tail, joined=joined)})


def erase(rows: Rows, key: str, now: int) -> Decision:
    """Forget the next of a user's conversations; a timer due at once does the rest."""
    _, tenant_id, user_id = key.split("/", 2)
    erasing = rows.get(key, m.Erasing)
    if erasing is None:
        raise LookupError(f"{key} is missing while its conversations are being deleted")
    decision, until, found = Decision(), min(erasing.next + REMOVED_AT_ONCE, erasing.end), erasing.found
    for number in range(erasing.next, until):
        owned = rows.get(m.owned_key(tenant_id, user_id, number), m.Owned)
        if owned is None:  # deleted on its own
            continue
        conversation = rows.get(m.conversation_key(owned.conversation_id), Row)
        if not isinstance(conversation, m.Conversation):
            raise LookupError(f"{owned.conversation_id} is in its user's list and does not exist")
        remove(owned.conversation_id, conversation, now, decision, cause="user")
        found += 1
    if until < erasing.end:
        decision.puts[key] = replace(erasing, next=until, found=found)
        decision.timers.append(Timer(key, now))
        return decision
    decision.deletes.append(key)
    owner_key = m.owner_key(tenant_id, user_id)
    owner = rows.get(owner_key, m.Owner)
    if owner is not None and owner.tail == erasing.end:
        decision.deletes.append(owner_key)
    for asked in m.Asked(erasing.command_id, erasing.partition), *erasing.joined:
        decision.outputs.append(_user_deleted(tenant_id, user_id, asked, found))
    return decision


def cancel_turn(conversation: m.Conversation, running: m.Running, reason: str) -> Output:
    """Ask accounts to end the running turn's execution."""
    cancel = r.CancelExecution(
        tenant_id=conversation.tenant_id,
        execution_id=running.execution_id,
        reason=reason[: topics.MAX_REASON_CHARS],
    )
    return Output(topics.ACCOUNTS_REQUESTS, cancel)


def erase_payloads(tenant_id: str, user_id: str, conversation_id: str) -> Output:
    """Have what a conversation keeps in the artifact store removed, after this decision."""
    erase = r.ErasePayloads(tenant_id=tenant_id, user_id=user_id, conversation_id=conversation_id)
    return Output(topics.CONVERSATIONS_COMMANDS, erase)


def _user_deleted(tenant_id: str, user_id: str, asked: m.Asked, conversations: int) -> Output:
    event = r.UserDeleted(
        tenant_id=tenant_id,
        user_id=user_id,
        command_id=asked.command_id,
        partition=asked.partition,
        conversations=conversations,
    )
    return Output(topics.CONVERSATIONS_EVENTS, event)
