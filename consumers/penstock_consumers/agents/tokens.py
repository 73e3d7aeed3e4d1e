"""Counting tokens without a network: byte-pair encoding with a vocabulary bundled in the package."""

from __future__ import annotations

from functools import cache
from typing import Any

from penstock.errors import MissingExtra

ENCODING = "o200k_base"


@cache
def _encoding() -> Any:
    try:
        from bpe_openai import get_encoding  # 40 MB of vocabulary: only for who counts
    except ImportError as exc:
        raise MissingExtra(f"counting tokens needs packages of penstock[agents]: {exc}") from exc
    return get_encoding(ENCODING)


def count_tokens(text: str) -> int:
    """Tokens of `text` in `o200k_base`; control tokens spelled out in a text count as text."""
    return len(_encoding().encode_ordinary(text))


def first_tokens(text: str, limit: int) -> str:
    """The beginning of `text`, at most `limit` tokens of it."""
    tokens = _encoding().encode_ordinary(text)
    if len(tokens) <= limit:
        return text
    kept: bytes = _encoding().decode_bytes(tokens[:limit])
    return kept.decode(errors="ignore")  # a token may end inside a character
