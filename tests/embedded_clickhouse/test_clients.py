"""What clickhouse-connect and curl do with a real server, they do with this one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import chdb
import pyarrow as pa
import pytest
from clickhouse_connect.driver.exceptions import DatabaseError

from tests.embedded_clickhouse.conftest import Connect, Curl

TABLE = "CREATE TABLE t (id Int64, name String, score Nullable(Float64)) ENGINE = MergeTree ORDER BY id"


def test_rows_go_in_and_come_out(client: Any) -> None:
    client.command(TABLE)
    summary = client.insert("t", [[1, "ä;'", None], [2, "", 2.5]], column_names=["id", "name", "score"])
    assert summary.written_rows == 2
    assert client.query("SELECT * FROM t ORDER BY id").result_rows == [(1, "ä;'", None), (2, "", 2.5)]


def test_columns_go_in_as_columns(client: Any) -> None:
    client.command(TABLE)
    client.insert("t", [[1, 2], ["a", "b"]], column_names=["id", "name"], column_oriented=True)
    assert client.command("SELECT sum(id) FROM t") == 3


def test_arrow_goes_in_and_comes_out(client: Any) -> None:
    client.command(TABLE)
    table = pa.table({"id": [3, 4], "name": ["p", "q"], "score": [None, 1.0]})
    client.insert_arrow("t", table)
    assert client.query_arrow("SELECT * FROM t ORDER BY id", use_strings=True).to_pydict() == table.to_pydict()


def test_parameters_are_bound_by_the_server(client: Any) -> None:
    parameters = {"n": 7, "text": "it's", "table": "one"}
    query = "SELECT {n:Int64}, {text:String} FROM system.{table:Identifier}"
    assert client.query(query, parameters=parameters).result_rows == [(7, "it's")]


def test_long_parameters_come_as_a_form(client: Any) -> None:
    result = client.query("SELECT length({text:String})", parameters={"text": "x" * 100_000})
    assert result.result_rows == [(100_000,)]


def test_an_error_is_the_clients_own_with_its_code(client: Any) -> None:
    with pytest.raises(DatabaseError) as caught:
        client.query("SELECT * FROM nosuch")
    assert caught.value.code == 60


@pytest.mark.parametrize(
    ("settings", "code"), [({"nosuch_setting": 1}, 115), ({"max_threads": "many"}, 27), ({"bad name": 1}, 115)]
)
def test_a_setting_that_cannot_be_is_refused(curl: Curl, settings: dict[str, Any], code: int) -> None:
    [(name, value)] = settings.items()
    status, headers, _ = curl(f"{name.replace(' ', '%20')}={value}", "-d", "SELECT 1")
    assert (status, headers["x-clickhouse-exception-code"]) == (404 if code == 115 else 400, str(code))


def test_a_setting_holds_for_its_query_only(curl: Curl) -> None:
    query = "SELECT getSetting('max_threads')"
    assert curl("session_id=s1&max_threads=3", "-d", query)[2] == b"3\n"
    assert curl("session_id=s1", "-d", query)[2] != b"3\n"


def test_a_session_keeps_its_temporary_tables_and_no_one_elses(curl: Curl) -> None:
    curl("session_id=a", "-d", "CREATE TEMPORARY TABLE mine (a Int8)")
    assert curl("session_id=a", "-d", "SELECT count() FROM mine")[2] == b"0\n"
    assert curl("session_id=b", "-d", "SELECT count() FROM mine")[0] == 404
    assert curl("session_id=never&session_check=1", "-d", "SELECT 1")[0] == 400


def test_use_chooses_the_sessions_database(connect: Connect) -> None:
    client = connect(database=None, session_id="use")
    client.command("USE system")
    assert client.command("SELECT currentDatabase()") == "system"


def test_curl_asks_by_get_and_by_post(curl: Curl) -> None:
    status, headers, body = curl("query=SELECT+1+AS+n+FORMAT+JSON&query_id=mine")
    assert (status, json.loads(body)["data"]) == (200, [{"n": 1}])
    assert headers["x-clickhouse-query-id"] == "mine"
    assert headers["x-clickhouse-format"] == "JSON"
    assert headers["x-clickhouse-timezone"]
    assert json.loads(headers["x-clickhouse-summary"])["result_rows"] == "1"
    assert curl("default_format=JSONEachRow", "-d", "SELECT 1 AS n;")[2] == b'{"n":1}\n'


def test_get_writes_nothing(curl: Curl) -> None:
    status, headers, _ = curl("query=CREATE+TABLE+t+(a+Int8)+ENGINE=Memory")
    assert (status, headers["x-clickhouse-exception-code"]) == (400, "164")


@pytest.mark.parametrize(
    ("query_string", "body"),
    [
        ("", 'INSERT INTO t FORMAT CSV\n1,"a;b",2\n'),
        ("", 'INSERT INTO t FORMAT JSONEachRow {"id":1,"name":"a;b","score":2}'),
        ("", "INSERT INTO t VALUES (1, 'a;b', 1 + 1);"),
        ("", "INSERT INTO t FORMAT Values (1, 'a;b', 2)"),
        ("query=INSERT+INTO+t+FORMAT+TSV", "1\ta;b\t2\n"),
        ("query=INSERT+INTO+t+VALUES", "(1, 'a;b', 2)"),
        ("query=INSERT+INTO+t", "(1, 'a;b', 2)"),
        ("query=INSERT+INTO+t&default_format=CSV", "1,a;b,2\n"),
        ("query=INSERT+INTO+t+SELECT+1,", "'a;b', 2"),
    ],
)
def test_an_insert_is_understood_wherever_its_rows_are(
    client: Any, curl: Curl, query_string: str, body: str
) -> None:
    client.command(TABLE)
    status, _, text = curl(query_string, "--data-binary", body)
    assert (status, text) == (200, b"")
    assert client.query("SELECT * FROM t").result_rows == [(1, "a;b", 2.0)]


def test_row_binary_goes_in(client: Any) -> None:
    client.command("CREATE TABLE t (id Int64) ENGINE = Memory")
    client.raw_insert("t", insert_block=b"".join(n.to_bytes(8, "little") for n in (10, 13, 32)), fmt="RowBinary")
    assert client.query("SELECT id FROM t ORDER BY id").result_rows == [(10,), (13,), (32,)]


def test_a_bad_row_fails_the_insert_and_leaves_nothing(client: Any, curl: Curl) -> None:
    client.command(TABLE)
    status, headers, _ = curl("query=INSERT+INTO+t+FORMAT+CSV", "--data-binary", "1,a,1\nx,b,2\n")
    assert (status, headers["x-clickhouse-exception-code"]) == (400, "27")
    assert client.command("SELECT count() FROM t") == 0


LATE_FAULTS = {
    "constraint": "CREATE TABLE t (id Int64, CONSTRAINT sane CHECK id != 13) ENGINE = MergeTree ORDER BY id",
    "column": "CREATE TABLE t (id Int64, x UInt8 MATERIALIZED throwIf(id = 13)) ENGINE = MergeTree ORDER BY id",
}


@pytest.mark.parametrize("table", LATE_FAULTS.values(), ids=LATE_FAULTS)
def test_rows_that_parse_and_cannot_be_stored_fail_the_insert(client: Any, table: str) -> None:
    client.command(table)
    with pytest.raises(DatabaseError) as caught:
        client.insert_arrow("t", pa.table({"id": [12, 13]}))
    assert caught.value.code in (469, 395)
    assert client.command("SELECT count() FROM t") == 0


def test_control_the_engines_own_streaming_insert_loses_that_error(tmp_path: Path) -> None:
    connection = chdb.connect(str(tmp_path / "bare"))
    connection.query("CREATE DATABASE d", "Null")
    connection.query("USE d", "Null")
    connection.query(LATE_FAULTS["constraint"], "Null")
    stream: Any = connection.send_insert("INSERT INTO t", "CSV")
    stream.append(b"13\n")
    assert stream.finish().rows_written == 1
    assert connection.query("SELECT count() FROM t", "TSV").bytes() == b"0\n"
    connection.close()


def test_an_insert_may_have_settings_before_its_format(client: Any, curl: Curl) -> None:
    client.command(TABLE)
    sql = "INSERT INTO t (id, name) SETTINGS input_format_csv_trim_whitespaces = 0 FORMAT CSV\n1,  a\n"
    assert curl("", "--data-binary", sql)[0] == 200
    assert client.query("SELECT name FROM t").result_rows == [("  a",)]


def test_an_insert_without_rows_is_no_error(client: Any, curl: Curl) -> None:
    client.command(TABLE)
    assert curl("query=INSERT+INTO+t+FORMAT+CSV", "-X", "POST")[0] == 200


def test_an_insert_into_nothing_is_refused_at_once(curl: Curl, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_bytes(b"1,a,1\n" * 1_000_000)
    assert curl("query=INSERT+INTO+nosuch+FORMAT+CSV", "--data-binary", f"@{tmp_path / 'rows.csv'}")[0] == 404


@pytest.mark.parametrize(
    "credentials",
    [
        ["-u", "default:wrong"],
        ["-u", "admin:x"],
        ["-H", "X-ClickHouse-User: default"],
        ["-H", "Authorization: Basic ?"],
        [],
    ],
)
def test_without_the_password_nothing_is_answered(curl: Curl, credentials: list[str]) -> None:
    status, headers, _ = curl("query=SELECT+1", *credentials, login=False)
    assert (status, headers["x-clickhouse-exception-code"]) == (403, "516")


def test_the_password_is_taken_from_its_headers_too(curl: Curl, clickhouse: Any) -> None:
    key = clickhouse.password.get_secret_value()
    headers = ["-H", "X-ClickHouse-User: default", "-H", f"X-ClickHouse-Key: {key}"]
    assert curl("query=SELECT+1", *headers, login=False)[2] == b"1\n"
