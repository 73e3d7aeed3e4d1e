"""A request's body as it arrives, decompressed; and the news that its client went away."""

from __future__ import annotations

import asyncio
import email
import email.policy
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

from penstock_services.embedded.clickhouse.encoding import decompressor
from penstock_services.embedded.clickhouse.errors import (
    BAD_ARGUMENTS,
    NETWORK_ERROR,
    QUERY_IS_TOO_LARGE,
    ClickHouseError,
)

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
MAX_FORM_BYTES = 64 << 20
"""Longest form, external tables included; it is held in memory."""
MAX_TEXT_BYTES = 8 << 20
"""Longest statement, VALUES included. Rows in any number go by FORMAT, which is streamed."""
HEAD_BYTES = 64 << 10
"""An INSERT's head, up to its data, is looked for in so much of the body."""


@dataclass(frozen=True, slots=True)
class Form:
    """A multipart form: long parameters and external tables, as clickhouse-connect sends them."""

    fields: dict[str, str]
    files: dict[str, bytes]


class Body:
    """Iterate `chunks()` once; `client_gone()` may be awaited beside it."""

    def __init__(self, receive: Receive, encoding: str) -> None:
        self._receive = receive
        self._codec = decompressor(encoding)
        self._complete = asyncio.Event()
        self._pushed_back = b""
        self._iterator = self._read()

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body, from where it was last left.

        Raises:
            ClickHouseError: the encoding is damaged, or the client went away in the middle.
        """
        if self._pushed_back:
            pushed_back, self._pushed_back = self._pushed_back, b""
            yield pushed_back
        async for chunk in self._iterator:
            yield chunk

    async def head(self) -> bytes:
        """The first `HEAD_BYTES` or more of the body, or all of it where it is shorter; it stays unread."""
        parts: list[bytes] = []
        size = 0
        async for chunk in self.chunks():
            parts.append(chunk)
            size += len(chunk)
            if size >= HEAD_BYTES:
                break
        self._pushed_back = b"".join(parts)
        return self._pushed_back

    def drop(self, size: int) -> None:
        """Take the first `size` bytes of what `head()` returned out of the body."""
        self._pushed_back = self._pushed_back[size:]

    async def text(self, limit_bytes: int = MAX_TEXT_BYTES) -> bytes:
        """All of the rest.

        Raises:
            ClickHouseError: longer than `limit_bytes`.
        """
        parts: list[bytes] = []
        size = 0
        async for chunk in self.chunks():
            parts.append(chunk)
            size += len(chunk)
            if size > limit_bytes:
                raise ClickHouseError(
                    QUERY_IS_TOO_LARGE,
                    f"the request is longer than {limit_bytes} bytes; send rows with INSERT … FORMAT",
                )
        return b"".join(parts)

    async def form(self, content_type: str) -> Form:
        """The body as a multipart form.

        Raises:
            ClickHouseError: longer than `MAX_FORM_BYTES`, not a form, or a text field is not UTF-8.
        """
        raw = b"Content-Type: " + content_type.encode("latin-1") + b"\r\n\r\n" + await self.text(MAX_FORM_BYTES)
        return await asyncio.to_thread(_parse_form, raw)

    async def client_gone(self) -> None:
        """Returns when the client closed its connection; never, while its body is still being read."""
        await self._complete.wait()
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def _read(self) -> AsyncIterator[bytes]:
        more = True
        while more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClickHouseError(NETWORK_ERROR, "the client went away in the middle of the request's body")
            more = message.get("more_body", False)
            if not more:
                self._complete.set()
            if chunk := self._codec.feed(message.get("body", b"")) if message.get("body") else b"":
                yield chunk
        if rest := self._codec.finish():
            yield rest


def _parse_form(raw: bytes) -> Form:
    message = email.message_from_bytes(raw, policy=email.policy.HTTP)
    if not message.is_multipart():
        raise ClickHouseError(BAD_ARGUMENTS, "the request's body is no multipart form, although it claims to be")
    form = Form({}, {})
    for part in message.iter_parts():
        name = str(part.get_param("name", header="content-disposition"))
        payload = part.get_payload(decode=True)
        content = payload if isinstance(payload, bytes) else b""
        if part.get_filename() is not None:
            form.files[name] = content
            continue
        try:
            form.fields[name] = content.decode()
        except UnicodeDecodeError as exc:
            raise ClickHouseError(BAD_ARGUMENTS, f"form field {name[:80]!r} is not UTF-8") from exc
    return form
