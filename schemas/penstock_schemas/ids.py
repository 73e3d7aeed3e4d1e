"""Derived identities: the same cause always gives the same id, so a replay writes the same records.

Format: UUID version 8 (RFC 9562, vendor-defined content) over the first 122 bits of a SHA-256 of the
length-prefixed parts. The length prefix keeps ("ab", "c") and ("a", "bc") apart.
"""

from __future__ import annotations

from hashlib import sha256

Part = str | int
_VARIANT = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}


def derived_id(*parts: Part) -> str:
    """A UUIDv8 over `parts`, in their order; integers count as their decimal text."""
    raw = b""
    for part in parts:
        encoded = str(part).encode()
        raw += len(encoded).to_bytes(4, "big") + encoded
    digest = sha256(raw).hexdigest()
    # the version replaces a hex digit, the variant the upper two bits of another
    return f"{digest[:8]}-{digest[8:12]}-8{digest[13:16]}-{_VARIANT[digest[16]]}{digest[17:20]}-{digest[20:32]}"


def execution_id(tenant_id: str, request_id: str) -> str:
    """Id of the execution a request asks for; known to the caller before it sends."""
    return derived_id("execution", tenant_id, request_id)


def usage_id(tenant_id: str, execution_id: str, epoch: int, call_seq: int) -> str:
    """Id of one provider call of one attempt; a resent report has the same one."""
    return derived_id("usage", tenant_id, execution_id, epoch, call_seq)


def conversation_id(tenant_id: str, user_id: str, message_id: str) -> str:
    """Id of the conversation a message starts; known to the caller before it sends."""
    return derived_id("conversation", tenant_id, user_id, message_id)


def turn_request_id(conversation_id: str, message_id: str) -> str:
    """`request_id` of the execution that answers a message."""
    return derived_id("turn", conversation_id, message_id)


def payload_scope(tenant_id: str, user_id: str, conversation_id: str) -> str:
    """Name of the folder with a conversation's payloads in the artifact store; no two owners share one."""
    return derived_id("payloads", tenant_id, user_id, conversation_id)


def pipeline_id(tenant_id: str, request_id: str) -> str:
    """Id of the pipeline a request starts; known to the caller before it sends."""
    return derived_id("pipeline", tenant_id, request_id)


def stage_request_id(pipeline_id: str, stage_index: int, epoch: int) -> str:
    """`request_id` of the execution of a stage; each resumption of the pipeline has its own."""
    return derived_id("stage", pipeline_id, stage_index, epoch)


def pipeline_reservation_id(pipeline_id: str, epoch: int) -> str:
    """What the stages of a pipeline draw from until it ends or fails; a resumption reserves anew."""
    return derived_id("pipeline-reservation", pipeline_id, epoch)
