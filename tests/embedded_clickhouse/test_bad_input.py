"""Bad input through the real interface: ClickHouse's own code and status, and the server lives on."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from penstock.settings import ClickHouseSettings
from tests.embedded_clickhouse.conftest import Curl

DEEP = "SELECT " + "(" * 300_000 + "1" + ")" * 300_000
WIDE = "SELECT 1 IN (" + ", ".join(map(str, range(100_000))) + ")"
HUGE = "SELECT '" + "x" * (9 << 20) + "'"


@pytest.mark.parametrize(
    ("sql", "status", "code"),
    [
        ("SELEC 1", 400, 62),
        ("SELECT FROM WHERE", 400, 62),
        ("SELECT 'no end", 400, 62),
        ("SELECT /* no end", 400, 62),
        ("SELECT 1 FORMAT Nosuch", 404, 73),
        ("SELECT nosuch", 404, 47),
        ("SELECT nosuch()", 404, 46),
        ("SELECT * FROM nosuch", 404, 60),
        ("SELECT * FROM nosuch.t", 404, 81),
        ("CREATE TABLE t (a Nosuch) ENGINE = Memory", 404, 50),
        ("CREATE TABLE t (a Int8) ENGINE = Nosuch", 404, 56),
        ("SELECT 1 SETTINGS nosuch = 1", 404, 115),
        ("SELECT {n:Int64}", 400, 456),
        ("SELECT toInt8('x')", 400, 6),
        ("INSERT INTO nosuch FORMAT CSV\n1", 404, 60),
        ("\x00", 400, 62),
        (DEEP, 400, 306),
        (WIDE, 400, 62),
        (HUGE, 413, 229),
    ],
    ids=lambda value: value[:30] if isinstance(value, str) else None,
)
def test_a_bad_query_has_its_code_and_status(
    client: Any, curl: Curl, tmp_path: Path, sql: str, status: int, code: int
) -> None:
    (tmp_path / "query.sql").write_text(sql)
    answered, headers, text = curl("", "--data-binary", f"@{tmp_path / 'query.sql'}")
    assert (answered, headers.get("x-clickhouse-exception-code")) == (status, str(code)), text[:300]
    assert text.startswith(f"Code: {code}. DB::Exception: ".encode())
    assert client.command("SELECT 1") == 1


@pytest.mark.parametrize(
    ("query_string", "body", "status", "code"),
    [
        ("query=%ff", "", 400, 36),
        ("query=SELECT+1&default_format=Nosuch", "", 404, 73),
        ("query=SELECT+{n:Int64}&param_n=x", "", 400, 457),
        ("query=INSERT+INTO+t+FORMAT+Nosuch", "1", 404, 73),
        ("query=INSERT+INTO+t+FORMAT+Native", "]", 500, 32),
        ("query=INSERT+INTO+t+FORMAT+JSONEachRow", "}", 400, 27),
        ("query=INSERT+INTO+t+VALUES", "(1), (", 500, 32),
    ],
)
def test_bad_parameters_and_rows_have_theirs(
    client: Any, curl: Curl, query_string: str, body: str, status: int, code: int
) -> None:
    client.command("CREATE TABLE t (a Int64) ENGINE = MergeTree ORDER BY a")
    answered, headers, text = curl(query_string, "-g", "--data-binary", body)
    assert (answered, headers.get("x-clickhouse-exception-code")) == (status, str(code)), text[:300]
    assert client.command("SELECT count() FROM t") == 0


@pytest.mark.parametrize(
    "raw",
    [
        b"nonsense\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: many\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET /" + b"x" * (1 << 20) + b" HTTP/1.1\r\n\r\n",
    ],
    ids=["nonsense", "TLS", "length", "chunk", "long"],
)
def test_what_is_no_http_is_refused_and_the_server_lives_on(
    client: Any, clickhouse: ClickHouseSettings, raw: bytes
) -> None:
    with socket.create_connection((clickhouse.host, clickhouse.port), timeout=30) as connection:
        try:
            connection.sendall(raw)
            answer = connection.recv(4096)
        except ConnectionResetError:
            answer = b""
        assert answer == b"" or answer.split(b" ")[1] in (b"400", b"403", b"404", b"414", b"431")
    assert client.command("SELECT 1") == 1
