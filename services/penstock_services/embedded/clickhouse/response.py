"""A response as the real server sends it: its headers, its error bodies, and an error after the first byte."""

from __future__ import annotations

import json
import os
import secrets
import time
from collections.abc import Awaitable, Callable
from typing import Any

from penstock_services.embedded.clickhouse.body import Message
from penstock_services.embedded.clickhouse.encoding import accepted_encoding, compressor
from penstock_services.embedded.clickhouse.errors import ClickHouseError
from penstock_services.embedded.clickhouse.request import Call

Send = Callable[[Message], Awaitable[None]]
DISPLAY_NAME = os.uname().nodename
_TEXT = "text/plain; charset=UTF-8"
_JSON = "application/json; charset=UTF-8"
CONTENT_TYPES = {
    **dict.fromkeys(("JSON", "JSONCompact", "JSONStrings"), _JSON),
    **dict.fromkeys(
        ("JSONEachRow", "JSONCompactEachRow", "JSONLines", "NDJSON"), "application/x-ndjson; charset=UTF-8"
    ),
    "CSV": "text/csv; charset=UTF-8; header=absent",
    "CSVWithNames": "text/csv; charset=UTF-8; header=present",
    **dict.fromkeys(("TabSeparated", "TSV"), "text/tab-separated-values; charset=UTF-8"),
    **dict.fromkeys(
        ("Native", "RowBinary", "RowBinaryWithNamesAndTypes", "Arrow", "ArrowStream", "Parquet"),
        "application/octet-stream",
    ),
}


class Response:
    """The response to one call. Exactly one of `reply`, `fail` or `stream`/`end` is used.

    Args:
        version: of the engine, named in errors.
        timezone: of the engine, by which clients read times.
    """

    def __init__(self, send: Send, call: Call, *, version: str, timezone: str) -> None:
        self._send = send
        self._call = call
        self._version = version
        self._timezone = timezone
        self._began = time.monotonic()
        self._tag = secrets.token_hex(8)  # 16 characters: clients look for it to find an error behind rows
        self._encoding = (
            accepted_encoding(call.headers.get("accept-encoding", "")) if _wants_compression(call) else None
        )
        self._codec = compressor(self._encoding)
        self.started = False

    async def reply(self, body: bytes, *, format_name: str | None = None, **summary: int) -> None:
        """A whole response of status 200."""
        await self._whole(200, body, self._result_headers(format_name, summary))

    async def fail(self, error: ClickHouseError) -> None:
        """A whole response that says `error`; an error block at the end where rows were sent already."""
        text = f"{error} (version {self._version} (chdb development engine))\n".encode()
        if not self.started:
            headers = {"content-type": _TEXT, "x-clickhouse-exception-code": str(error.code)}
            await self._whole(error.http_status, text, headers)
            return
        tag = self._tag.encode()
        block = b"\r\n__exception__\r\n%s\r\n%s%d %s\r\n__exception__\r\n" % (tag, text, len(text), tag)
        await self.end(block)

    async def stream(self, chunk: bytes, format_name: str) -> None:
        """Send a piece of a result; headers before the first one."""
        if not self.started:
            headers = self._result_headers(format_name, {})
            if self._encoding:
                headers["content-encoding"] = self._encoding
            await self._start(200, headers)
        if data := self._codec.feed(chunk):
            await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def end(self, chunk: bytes = b"") -> None:
        """End what `stream` began."""
        data = (self._codec.feed(chunk) if chunk else b"") + self._codec.finish()
        await self._send({"type": "http.response.body", "body": data})

    async def _whole(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        if body and self._encoding:
            body = self._codec.feed(body) + self._codec.finish()
            headers["content-encoding"] = self._encoding
        headers["content-length"] = str(len(body))
        await self._start(status, headers)
        await self._send({"type": "http.response.body", "body": b"" if self._call.method == "HEAD" else body})

    async def _start(self, status: int, headers: dict[str, str]) -> None:
        self.started = True
        common = {
            "x-clickhouse-server-display-name": DISPLAY_NAME,
            "x-clickhouse-query-id": self._call.query_id,
            "x-clickhouse-timezone": self._timezone,
        }
        pairs = [(name.encode(), value.encode()) for name, value in (common | headers).items()]
        await self._send({"type": "http.response.start", "status": status, "headers": pairs})

    def _result_headers(self, format_name: str | None, summary: dict[str, int]) -> dict[str, str]:
        elapsed_ns = int((time.monotonic() - self._began) * 1e9)
        numbers = dict.fromkeys(
            (
                "read_rows",
                "read_bytes",
                "written_rows",
                "written_bytes",
                "total_rows_to_read",
                "result_rows",
                "result_bytes",
            ),
            0,
        )
        numbers |= summary | {"elapsed_ns": elapsed_ns}
        headers = {
            "content-type": CONTENT_TYPES.get(format_name or "", _TEXT),
            "x-clickhouse-summary": json.dumps({name: str(value) for name, value in numbers.items()}),
            "x-clickhouse-exception-tag": self._tag,
        }
        if format_name:
            headers["x-clickhouse-format"] = format_name
        return headers


def _wants_compression(call: Call) -> bool:
    return call.params.get("enable_http_compression", "0") in ("1", "true")


def summary_of(result: Any) -> dict[str, int]:
    """The numbers of `X-ClickHouse-Summary` that a chdb result knows."""
    return {
        "read_rows": result.storage_rows_read(),
        "read_bytes": result.storage_bytes_read(),
        "result_rows": result.rows_read(),
        "written_rows": result.rows_written(),
        "written_bytes": result.bytes_written(),
    }
