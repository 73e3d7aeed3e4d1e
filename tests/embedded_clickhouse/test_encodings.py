"""Compressed bodies both ways: every encoding of clickhouse-connect, in any pieces, and damaged ones."""

from __future__ import annotations

import gzip
import random
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import brotli  # type: ignore[import-untyped]
import lz4.frame  # type: ignore[import-untyped]
import pytest
from backports import zstd

from penstock_services.embedded.clickhouse.encoding import ENCODINGS, compressor, decompressor
from penstock_services.embedded.clickhouse.errors import ClickHouseError
from tests.embedded_clickhouse.conftest import Connect, Curl

TABLE = "CREATE TABLE t (id Int64, name String) ENGINE = MergeTree ORDER BY id"
COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "lz4": lz4.frame.compress,
    "zstd": zstd.compress,
    "br": brotli.compress,
    "gzip": gzip.compress,
    "deflate": zlib.compress,
}


def decompress(encoding: str, body: bytes, piece_bytes: int) -> bytes:
    codec = decompressor(encoding)
    pieces = [body[at : at + piece_bytes] for at in range(0, len(body), piece_bytes)]
    return b"".join(map(codec.feed, pieces)) + codec.finish()


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("piece_bytes", [1, 7, 1 << 20])
def test_other_libraries_bodies_are_read_in_any_pieces(encoding: str, piece_bytes: int) -> None:
    plain = random.Random(1).randbytes(3000) + b"x" * 3000
    assert decompress(encoding, COMPRESS[encoding](plain), piece_bytes) == plain


@pytest.mark.parametrize("encoding", ["lz4", "zstd", "gzip"])
@pytest.mark.parametrize("piece_bytes", [1, 7, 1 << 20])
def test_one_frame_may_follow_another(encoding: str, piece_bytes: int) -> None:
    body = COMPRESS[encoding](b"one ") + COMPRESS[encoding](b"two")
    assert decompress(encoding, body, piece_bytes) == b"one two"


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_what_is_sent_is_what_other_libraries_read(encoding: str) -> None:
    codec = compressor(encoding)
    body = codec.feed(b"one ") + codec.feed(b"two") + codec.finish()
    readers: dict[str, Callable[[bytes], bytes]] = {
        "lz4": lz4.frame.decompress,
        "zstd": zstd.decompress,
        "br": brotli.decompress,
        "gzip": gzip.decompress,
        "deflate": zlib.decompress,
    }
    assert readers[encoding](body) == b"one two"


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_body_that_ends_early_or_is_damaged_is_an_error(encoding: str) -> None:
    body = COMPRESS[encoding](random.Random(2).randbytes(5000))
    with pytest.raises(ClickHouseError, match="in the middle"):
        decompress(encoding, body[:-9], 512)
    with pytest.raises(ClickHouseError, match=f"no valid {encoding}"):
        decompress(encoding, b"\xff\xff\xff\xff not compressed at all", 512)


@pytest.mark.parametrize("compress", ["lz4", "zstd", "gzip", "br", False])
def test_every_encoding_the_client_offers_works_both_ways(connect: Connect, compress: str | bool) -> None:
    client = connect(compress=compress)
    client.command(TABLE)
    names = [f"name {n}" for n in range(5000)]
    client.insert("t", [list(range(5000)), names], column_names=["id", "name"], column_oriented=True)
    assert client.query("SELECT name FROM t ORDER BY id").result_columns[0] == names


@pytest.mark.parametrize("compress", ["lz4", "zstd", "gzip"])
def test_an_insert_of_many_blocks_is_taken_whole(connect: Connect, compress: str) -> None:
    client = connect(compress=compress)
    client.command(TABLE)
    rows = 300_000  # the client sends them in several blocks, each a frame of its own
    client.insert("t", [list(range(rows)), ["x"] * rows], column_names=["id", "name"], column_oriented=True)
    assert client.query("SELECT count(), uniqExact(id) FROM t").result_rows == [(rows, rows)]


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_result_is_sent_as_the_client_accepts_it(curl: Curl, encoding: str) -> None:
    query = "enable_http_compression=1&query=SELECT+number+FROM+numbers(300000)"
    status, headers, body = curl(query, "-H", f"Accept-Encoding: {encoding}")
    assert (status, headers["content-encoding"]) == (200, encoding)
    lines = decompress(encoding, body, 1 << 16).splitlines()
    assert (len(lines), lines[-1]) == (300_000, b"299999")


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_truncated_body_writes_nothing(client: Any, curl: Curl, tmp_path: Path, encoding: str) -> None:
    client.command(TABLE)
    rows = b"".join(b"%d,%s\n" % (n, random.Random(n).randbytes(8).hex().encode()) for n in range(20_000))
    (tmp_path / "half").write_bytes(COMPRESS[encoding](rows)[:-20])
    arguments = ["-H", f"Content-Encoding: {encoding}", "--data-binary", f"@{tmp_path / 'half'}"]
    status, headers, _ = curl("query=INSERT+INTO+t+FORMAT+CSV", *arguments)
    assert (status, headers["x-clickhouse-exception-code"]) == (400, "36")
    assert client.command("SELECT count() FROM t") == 0


def test_an_unknown_encoding_is_named(curl: Curl) -> None:
    status, headers, text = curl("", "-H", "Content-Encoding: snappy", "-d", "SELECT 1")
    assert (status, headers["x-clickhouse-exception-code"]) == (400, "36")
    assert b"'snappy' is not offered" in text
