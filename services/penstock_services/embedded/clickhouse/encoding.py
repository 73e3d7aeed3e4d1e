"""HTTP content encodings: the three that clickhouse-connect and curl offer."""

from __future__ import annotations

import zlib
from typing import Any, Protocol

import lz4.frame  # type: ignore[import-untyped]  # has no stubs

from penstock_services.embedded.clickhouse.errors import BAD_ARGUMENTS, ClickHouseError

try:
    from compression import zstd  # type: ignore[import-not-found, unused-ignore]  # Python 3.14
except ImportError:
    from backports import zstd

ENCODINGS = ("lz4", "zstd", "gzip")


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
        if encoding == "gzip":
            self._codec: Any = zlib.compressobj(1, zlib.DEFLATED, 31)  # 31: gzip container
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


class _Decompress:
    def __init__(self, encoding: str) -> None:
        self._encoding = encoding
        self._touched = False
        if encoding == "gzip":
            self._codec: Any = zlib.decompressobj(31)
        elif encoding == "zstd":
            self._codec = zstd.ZstdDecompressor()
        else:
            self._codec = lz4.frame.LZ4FrameDecompressor()

    def feed(self, data: bytes) -> bytes:
        try:
            self._touched = True
            return bytes(self._codec.decompress(data))
        except (zlib.error, zstd.ZstdError, RuntimeError, EOFError) as exc:
            raise ClickHouseError(BAD_ARGUMENTS, f"request body is no valid {self._encoding}: {exc}") from exc

    def finish(self) -> bytes:
        if self._touched and not self._codec.eof:
            raise ClickHouseError(BAD_ARGUMENTS, f"request body ends in the middle of its {self._encoding} frame")
        return b""


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
    return _Decompress(encoding)


def compressor(encoding: str | None) -> Codec:
    """For a response's Content-Encoding; None compresses nothing."""
    return _Compress(encoding) if encoding else _Identity()


def accepted_encoding(accept_encoding: str) -> str | None:
    """The first encoding of an Accept-Encoding header that is offered here."""
    wanted = (item.split(";")[0].strip().lower() for item in accept_encoding.split(","))
    return next((item for item in wanted if item in ENCODINGS), None)
