"""The client's methods about conversations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING
from uuid import uuid4

from penstock.arguments import (
    ConversationArguments,
    ConversationsArguments,
    MessageArguments,
    OwnerArguments,
    checked,
)
from penstock.artifacts import ArtifactStore
from penstock.carried import CarriedText, read_text
from penstock.conversation_models import Conversation, ConversationTurn, PostedMessage
from penstock_schemas.topics import DEFAULT_QUEUE

if TYPE_CHECKING:
    from penstock.conversation_reading import ConversationReading
    from penstock.conversing import Conversing
    from penstock.models import Submission


class ConversationCalls:
    """Part of `Client`."""

    _conversing: Conversing
    _conversations: ConversationReading
    _payloads: ArtifactStore | None

    def _remember(self, submission: Submission) -> None:
        raise NotImplementedError

    async def post_message(
        self,
        content: str,
        *,
        tenant: str,
        user: str,
        conversation: str | None = None,
        agent: str | None = None,
        on_busy: str = "enqueue",
        message_id: str | None = None,
        title: str | None = None,
        metadata: Mapping[str, str] | None = None,
        model: str | None = None,
        max_tokens: int | None = None,
        timeout_s: int | None = None,
        max_attempts: int | None = None,
        queue: str = DEFAULT_QUEUE,
    ) -> PostedMessage:
        """Say something to an agent; returns once Kafka has acknowledged it. `answer` waits for the reply.

        Args:
            content: what the user says; up to 256 KiB of UTF-8.
            tenant: who pays.
            user: whose conversation it is; nobody else can continue or see it.
            conversation: the one to continue; left out, a new one is started, whose id is in what is returned.
            agent: needed for a new conversation; later ones are with the same.
            on_busy: while an earlier turn runs: `enqueue`, `reject`, or `interrupt`, which cancels it.
            message_id: your own id, unique within the conversation: the same message sent twice is answered once.
            title: of a new conversation; the first message's beginning is the default.
            metadata: of a new conversation; your own labels.
            model, max_tokens, timeout_s, max_attempts, queue: of the run that answers, as in `submit`.

        Raises:
            InvalidInput: an argument cannot be used; nothing was sent.
            PayloadTooLarge: above 256 KiB; nothing was sent.
        """
        wanted = checked(
            MessageArguments,
            content=content,
            tenant=tenant,
            user=user,
            conversation=conversation,
            agent=agent,
            on_busy=on_busy,
            message_id=str(uuid4()) if message_id is None else message_id,
            title=title,
            metadata=dict(metadata or {}),
            model=model,
            max_tokens=max_tokens,
            timeout_s=timeout_s,
            max_attempts=max_attempts,
            queue=queue,
        )
        posted = await self._conversing.post(wanted, named_by_caller=message_id is not None)
        self._remember(posted.submission())
        return posted

    async def answer(self, posted: PostedMessage, *, timeout_s: float | None = None) -> ConversationTurn:
        """Wait for the agent's side of the turn that answers a message.

        Raises:
            MessageRejected: the message was not taken; `reason` says why.
            NotFound: this user has no such conversation, or it was deleted meanwhile.
            RequestRejected: accounts did not admit the run.
            ExecutionFailedError, ExecutionCancelledError: the run ended without an answer. The conversation goes
                on without the message.
            FollowTimeout: no answer within `timeout_s` seconds.
        """
        return await self._conversing.answer(posted, timeout_s)

    async def conversation(
        self, conversation_id: str, *, tenant: str, user: str, turns: int = 100
    ) -> Conversation:
        """A conversation with its latest turns, as of now: from ClickHouse, and what it has not loaded from Kafka.

        Raises:
            NotFound: this user has no such conversation; whether another has makes no difference.
        """
        return await self._conversing.conversation(
            checked(ConversationArguments, tenant=tenant, user=user, conversation_id=conversation_id, turns=turns)
        )

    async def conversations(self, tenant: str, user: str, limit: int = 50) -> Sequence[Conversation]:
        """A user's conversations without their turns, the last used first, as far as ClickHouse has loaded."""
        return await self._conversations.list(
            checked(ConversationsArguments, tenant=tenant, user=user, limit=limit)
        )

    async def content_of(self, turn: ConversationTurn) -> str:
        """What one side said, fetched where it travels by reference.

        Raises:
            InvalidInput: by reference, and no artifact store is configured here.
            ArtifactStoreUnreachable, NotFound: the store does not give it.
        """
        return await read_text(CarriedText(turn.content, turn.content_ref), self._payloads)

    async def delete_conversation(self, conversation_id: str, *, tenant: str, user: str) -> None:
        """Forget a conversation; returns once nobody can continue it. A running turn is cancelled.

        Raises:
            NotFound: this user has no such conversation.
            NotConfirmed: it was asked for, and nothing has answered in time.
        """
        await self._conversing.delete(
            checked(ConversationArguments, tenant=tenant, user=user, conversation_id=conversation_id)
        )

    async def delete_user(self, tenant: str, user: str) -> int:
        """Operator: forget every conversation of a user; returns how many there were. Executions and bills stay.

        Raises:
            CommandInterrupted: another operator's command came in between; nothing was written.
            NotConfirmed: it was asked for, and not every partition has answered in time.
        """
        return await self._conversing.delete_user(checked(OwnerArguments, tenant=tenant, user=user))
