"""Derived identities: the same cause always gives the same id, so a replay writes the same records.

Format: UUID version 8 (RFC 9562, vendor-defined content) over the first 122 bits of a SHA-256 of the
length-prefixed parts. The length prefix keeps ("ab", "c") and ("a", "bc") apart.
"""

from __future__ import annotations

from hashlib import sha256

Part = str | int


def derived_id(*parts: Part) -> str:
    """A UUIDv8 over `parts`, in their order; integers count as their decimal text."""
    digest = sha256()
    for part in parts:
        raw = str(part).encode()
        digest.update(len(raw).to_bytes(4, "big") + raw)
    number = int.from_bytes(digest.digest()[:16], "big")
    number = number & ~(0xF << 76) | (8 << 76)  # version
    number = number & ~(0x3 << 62) | (0x2 << 62)  # variant
    text = f"{number:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def execution_id(tenant_id: str, request_id: str) -> str:
    """Id of the execution a request asks for; known to the caller before it sends."""
    return derived_id("execution", tenant_id, request_id)


def usage_id(tenant_id: str, execution_id: str, epoch: int, call_seq: int) -> str:
    """Id of one provider call of one attempt; a resent report has the same one."""
    return derived_id("usage", tenant_id, execution_id, epoch, call_seq)
