"""What an execution is part of, so that what it costs can be said of that too. Pure."""

from __future__ import annotations

from penstock_streams.accounts import model as m
from penstock_streams.kit import Rows


def origin_of(rows: Rows, tenant_id: str, execution_id: str | None) -> dict[str, str | None]:
    """Its pipeline and conversation, by field of an AccountedCall, as it was admitted.

    Nulls for usage from outside, for another tenant's execution, and for one that ended so long ago that its
    request is forgotten.
    """
    answer = rows.get(m.answer_key(execution_id), m.Answer) if execution_id else None
    if answer is None or answer.tenant_id != tenant_id:
        return {"pipeline_id": None, "conversation_id": None}
    return {"pipeline_id": answer.pipeline_id, "conversation_id": answer.conversation_id}
