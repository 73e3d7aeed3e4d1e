"""A conversation's payloads: what is too large to be carried by every later turn lies in the artifact store.

They are in a folder of the conversation's own, named after tenant, user and conversation, so that they can be
removed with it, whoever else has the same bytes. All I/O here happens before a decision, and may happen again.
"""

from __future__ import annotations

from penstock.artifacts import ArtifactStore
from penstock.errors import InvalidInput, NotFound, PayloadTooLarge
from penstock_schemas.ids import payload_scope
from penstock_schemas.records import ContentRef, ErasePayloads, FinishTurn, PostMessage, Record
from penstock_schemas.topics import MAX_INLINE_CONTENT_BYTES, MAX_MESSAGE_BYTES
from penstock_streams.kit import Prepare

BEGINNING_CHARS = 1_000


class HeldMessage(PostMessage):
    """A message whose content has been moved to the artifact store. Never leaves the process."""

    content_ref: ContentRef
    beginning: str
    """Of its content, for a title."""


def size_of(message: PostMessage) -> int:
    """Bytes of its content."""
    return message.content_ref.size if isinstance(message, HeldMessage) else len(message.content.encode())


def preparations(artifacts: ArtifactStore) -> dict[type[Record], Prepare]:
    """What happens to the stage's records before they are decided."""

    async def hold_content(record: Record) -> Record:
        """Move a message above 4 KiB; one above the limit is left alone, to be rejected."""
        assert isinstance(record, PostMessage)
        data = record.content.encode()
        if not MAX_INLINE_CONTENT_BYTES < len(data) <= MAX_MESSAGE_BYTES:
            return record
        scope = payload_scope(record.tenant_id, record.user_id, record.addressed_id)
        ref = await artifacts.put(data, scope)
        return HeldMessage(
            **record.model_dump(exclude={"content"}),
            content="",
            content_ref=ContentRef(**ref.model_dump()),
            beginning=record.content[:BEGINNING_CHARS],
        )

    async def hold_output(record: Record) -> Record:
        """Move an answer above 4 KiB; copy one that its worker put elsewhere."""
        assert isinstance(record, FinishTurn)
        scope = payload_scope(record.tenant_id, record.user_id, record.conversation_id)
        if record.output_ref is not None:
            if f"/{scope}/" in record.output_ref.uri:
                return record
            try:
                data = await artifacts.get(record.output_ref)
            except (InvalidInput, NotFound, PayloadTooLarge):  # nothing to copy; the turn has what its worker said
                return record
        else:
            data = (record.output or "").encode()
            if len(data) <= MAX_INLINE_CONTENT_BYTES:
                return record
        return record.model_copy(update={"output": None, "output_ref": await artifacts.put(data, scope)})

    async def erase(record: Record) -> Record:
        assert isinstance(record, ErasePayloads)
        await artifacts.remove(payload_scope(record.tenant_id, record.user_id, record.conversation_id))
        return record

    return {PostMessage: hold_content, FinishTurn: hold_output, ErasePayloads: erase}
