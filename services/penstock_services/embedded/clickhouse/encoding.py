"""HTTP content encodings: those that clickhouse-connect and curl offer."""

from __future__ import annotations

import zlib
from typing import Any, Protocol

import brotli  # type: ignore[import-untyped]  # has no stubs
import lz4.frame  # type: ignore[import-untyped]  # has no stubs

from penstock_services.embedded.clickhouse.errors import BAD_ARGUMENTS, ClickHouseError

try:
    from compression import zstd  # type: ignore[import-not-found, unused-ignore]  # Python 3.14
except ImportError:
    from backports import zstd

ENCODINGS = ("lz4", "zstd", "br", "gzip", "deflate")
_WINDOW_BITS = {"gzip": 31, "deflate": 15}
"""zlib's number for the container."""


class Codec(Protocol):
    """One direction of one body."""

    def feed(self, data: bytes) -> bytes: ...

    def finish(self) -> bytes: ...


class _Identity:
    def feed(self, data: bytes) -> bytes:
        return data

    def finish(self) -> bytes:
        return b""


class _Compress:
    def __init__(self, encoding: str) -> None:
        self._head = b""
        if encoding in _WINDOW_BITS:
            self._codec: Any = zlib.compressobj(1, zlib.DEFLATED, _WINDOW_BITS[encoding])
        elif encoding == "zstd":
            self._codec = zstd.ZstdCompressor(level=1)
        else:
            self._codec = lz4.frame.LZ4FrameCompressor()
            self._head = self._codec.begin()

    def feed(self, data: bytes) -> bytes:
        head, self._head = self._head, b""
        return head + bytes(self._codec.compress(data))

    def finish(self) -> bytes:
        head, self._head = self._head, b""
        return head + bytes(self._codec.flush())


class _CompressBrotli:
    def __init__(self) -> None:
        self._codec = brotli.Compressor(quality=1)

    def feed(self, data: bytes) -> bytes:
        return bytes(self._codec.process(data))

    def finish(self) -> bytes:
        return bytes(self._codec.finish())


class _Decompress:
    """One frame after another: clickhouse-connect ends a frame with every block of rows."""

    def __init__(self, encoding: str) -> None:
        self._encoding = encoding
        self._codec: Any = None

    def feed(self, data: bytes) -> bytes:
        parts: list[bytes] = []
        try:
            while data:
                if self._codec is None or self._codec.eof:
                    self._codec = _frame(self._encoding)
                parts.append(self._codec.decompress(data))
                data = (self._codec.unused_data or b"") if self._codec.eof else b""
        except (zlib.error, zstd.ZstdError, RuntimeError, EOFError) as exc:
            raise ClickHouseError(BAD_ARGUMENTS, f"request body is no valid {self._encoding}: {exc}") from exc
        return b"".join(parts)

    def finish(self) -> bytes:
        if self._codec is not None and not self._codec.eof:
            raise ClickHouseError(BAD_ARGUMENTS, f"request body ends in the middle of its {self._encoding} frame")
        return b""


class _DecompressBrotli:
    def __init__(self) -> None:
        self._codec = brotli.Decompressor()
        self._touched = False

    def feed(self, data: bytes) -> bytes:
        self._touched = True
        try:
            return bytes(self._codec.process(data))
        except brotli.error as exc:
            raise ClickHouseError(BAD_ARGUMENTS, f"request body is no valid br: {exc}") from exc

    def finish(self) -> bytes:
        if self._touched and not self._codec.is_finished():
            raise ClickHouseError(BAD_ARGUMENTS, "request body ends in the middle of its br stream")
        return b""


def _frame(encoding: str) -> Any:
    if encoding in _WINDOW_BITS:
        return zlib.decompressobj(_WINDOW_BITS[encoding])
    return zstd.ZstdDecompressor() if encoding == "zstd" else lz4.frame.LZ4FrameDecompressor()


def decompressor(encoding: str) -> Codec:
    """For a request's Content-Encoding.

    Raises:
        ClickHouseError: not one of `ENCODINGS`.
    """
    if encoding in ("", "identity"):
        return _Identity()
    if encoding not in ENCODINGS:
        raise ClickHouseError(
            BAD_ARGUMENTS, f"Content-Encoding {encoding[:40]!r} is not offered; use {', '.join(ENCODINGS)}"
        )
    return _DecompressBrotli() if encoding == "br" else _Decompress(encoding)


def compressor(encoding: str | None) -> Codec:
    """For a response's Content-Encoding; None compresses nothing."""
    if encoding == "br":
        return _CompressBrotli()
    return _Compress(encoding) if encoding else _Identity()


def accepted_encoding(accept_encoding: str) -> str | None:
    """The first encoding of an Accept-Encoding header that is offered here."""
    wanted = (item.split(";")[0].strip().lower() for item in accept_encoding.split(","))
    return next((item for item in wanted if item in ENCODINGS), None)
