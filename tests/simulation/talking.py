"""Users who talk with agents, in worlds that are given some; and what must hold of their conversations."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

from penstock_schemas import records as r
from penstock_schemas import topics as t
from penstock_schemas.ids import conversation_id
from penstock_streams.conversations.decide import Conversations
from penstock_streams.conversations.model import ROW_TYPES
from penstock_streams.conversations.policy import ConversationPolicy
from penstock_streams.kit import Stage
from tests.simulation.violations import Violation

if TYPE_CHECKING:
    from tests.simulation.outside import Outside
    from tests.simulation.world import World

MESSAGES_AT_MOST = 5


def conversations() -> Stage:
    """The stage, without what only large messages need."""
    return Stage(
        name="conversations",
        inputs=(t.CONVERSATIONS_REQUESTS, t.CONVERSATIONS_COMMANDS),
        outputs=(t.CONVERSATIONS_EVENTS, t.CONVERSATIONS_COMMANDS, t.ACCOUNTS_REQUESTS),
        row_types=ROW_TYPES,
        decide=Conversations(ConversationPolicy()),
    )


def talk(world: World, outside: Outside) -> None:
    """Schedule what the world's users say: duplicated, misrouted and at once, as everything from outside."""
    rng, shape = world.scheduler.rng, world.shape
    for number in range(shape.talkers):
        user, tenant = f"user{number}", rng.choice(list(shape.limits))
        conversation, at = conversation_id(tenant, user, "0"), rng.uniform(0, shape.faults_s * 0.3)
        for said in range(rng.randint(1, MESSAGES_AT_MOST)):
            message = r.PostMessage(
                tenant_id=tenant,
                user_id=user,
                conversation_id=None if said == 0 else conversation,
                message_id=str(said),
                content=f"{user} says {said}",
                agent_type="echo",
                on_busy=rng.choice(("enqueue", "enqueue", "reject", "interrupt")),
                timeout_s=60,
            )
            outside.send(at, t.CONVERSATIONS_REQUESTS, message)
            while rng.random() < shape.duplicates:
                outside.send(at + rng.uniform(0, 40), t.CONVERSATIONS_REQUESTS, message)
            at += rng.choice((3.0, 3.0, 15.0)) * rng.random() + 0.5
        if rng.random() < shape.cancelled / 2:
            delete = r.DeleteConversation(tenant_id=tenant, user_id=user, conversation_id=conversation)
            outside.send(at + rng.uniform(-5, 20), t.CONVERSATIONS_REQUESTS, delete)


class TurnMonitor:
    """Told what becomes visible about conversations."""

    def __init__(self) -> None:
        self.posted: set[tuple[str, str]] = set()
        """(conversation, message) that Kafka has."""
        self._running: dict[str, str] = {}
        self._turns: Counter[str] = Counter()
        self._ends: dict[tuple[str, str], str] = {}
        self._rejected: set[tuple[str, str]] = set()
        self._deleted: set[str] = set()
        self._finished: dict[str, list[str]] = defaultdict(list)

    def posts(self, message: r.PostMessage) -> None:
        self.posted.add((message.addressed_id, message.message_id))

    def finishes(self, finish: r.FinishTurn) -> None:
        """The end of an execution, as conversations is told."""
        self._finished[finish.execution_id].append(finish.status)
        if len(self._finished[finish.execution_id]) > 1:
            raise Violation(
                "a turn is finished once", f"{finish.execution_id}: {self._finished[finish.execution_id]}"
            )

    def sees(self, event: Any) -> None:
        """An event of conversations."""
        conversation = event.conversation_id
        if isinstance(event, r.MessageRejected):
            self._rejected.add((conversation, event.message_id))
            return
        if isinstance(event, r.ConversationDeleted):
            self._deleted.add(conversation)
            return
        if conversation in self._deleted:
            raise Violation("what was deleted stays away", f"{type(event).__name__} of {conversation}")
        message = (conversation, getattr(event, "message_id", ""))
        match event:
            case r.TurnStarted():
                if conversation in self._running:
                    raise Violation("one turn runs at a time", f"{message} while {self._running[conversation]}")
                if event.turn_number != self._turns[conversation] + 1:
                    raise Violation("turn numbers are dense", f"{message} is {event.turn_number}")
                self._running[conversation] = event.message_id
            case r.TurnAppended(role="user"):
                self._end(message, "completed", event.execution_id)
                self._turns[conversation] += 1
                if event.turn_number != self._turns[conversation]:
                    raise Violation("turn numbers are dense", f"{message} is {event.turn_number}")
            case r.TurnFailed():
                self._end(message, event.status, event.execution_id)

    def _end(self, message: tuple[str, str], status: str, execution_id: str) -> None:
        if message in self._ends:
            raise Violation("a message has one end", f"{message}: {status} after {self._ends[message]}")
        if self._running.pop(message[0], None) != message[1]:
            raise Violation("only what runs ends", f"{message}: {status}")
        if self._finished[execution_id] != [status]:
            raise Violation("a turn ends as its execution did", f"{status}, not {self._finished[execution_id]}")
        self._ends[message] = status

    def open_ends(self) -> str | None:
        """A message that Kafka has and that has no end yet."""
        for conversation, message in sorted(self.posted):
            known = (conversation, message) in self._ends or (conversation, message) in self._rejected
            if not known and conversation not in self._deleted:
                return f"message {message} of {conversation} has no end"
        return None
