"""Texts as records carry them: inline while they are short, by reference into the artifact store above."""

from __future__ import annotations

from typing import NamedTuple

from penstock.artifacts import ArtifactStore, needed
from penstock.errors import InvalidInput, PayloadTooLarge
from penstock_schemas.records import PayloadRef
from penstock_schemas.topics import MAX_INLINE_BYTES


class CarriedText(NamedTuple):
    """A text as a record carries it: inline or by reference; both None for no text."""

    inline: str | None
    ref: PayloadRef | None


async def carry_text(text: str, store: ArtifactStore | None, scope: str | None = None) -> CarriedText:
    """`text` inline up to `MAX_INLINE_BYTES` of UTF-8, above it by reference; `scope` as of `ArtifactStore.put`.

    Raises:
        PayloadTooLarge: above the limit, and `store` is None.
        ArtifactStoreUnreachable: the store could not be written.
    """
    data = text.encode()
    if len(data) <= MAX_INLINE_BYTES:
        return CarriedText(text, None)
    if store is None:
        raise PayloadTooLarge(
            f"a text of {len(data)} bytes is above {MAX_INLINE_BYTES} and no artifact store is configured; "
            "set PENSTOCK_ARTIFACTS_URL"
        )
    return CarriedText(None, await store.put(data, scope))


async def read_text(carried: CarriedText, store: ArtifactStore | None) -> str:
    """The text a record carries; empty where it carries none.

    Raises:
        InvalidInput: by reference, and `store` is None or the bytes are not UTF-8.
        NotFound, ArtifactStoreUnreachable, PayloadTooLarge: as `ArtifactStore.get`.
    """
    if carried.ref is None:
        return carried.inline or ""
    data = await needed(store).get(carried.ref)
    try:
        return data.decode()
    except UnicodeDecodeError as exc:
        raise InvalidInput(f"{carried.ref.uri} is not UTF-8 text: {exc}") from exc
