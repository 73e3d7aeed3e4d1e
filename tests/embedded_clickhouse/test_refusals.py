"""What chdb would do with files, networks and Python, and this engine refuses; each with what is still allowed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import chdb
import pytest
from clickhouse_connect.driver.exceptions import DatabaseError

from tests.embedded_clickhouse.conftest import Curl

ACCESS_DENIED, UNKNOWN_TABLE, SYNTAX_ERROR = 497, 60, 62


@pytest.fixture
def bare_engine(tmp_path: Path) -> Iterator[Any]:
    """The control: chdb as it comes, in a process that opens nothing else."""
    connection = chdb.connect(str(tmp_path / "bare"))
    yield connection
    connection.close()


READS_A_FILE = [
    "SELECT * FROM '/etc/passwd'",
    "SELECT * FROM file('/etc/passwd', 'LineAsString')",
    "SELECT file('/etc/passwd')",
]


@pytest.mark.parametrize("sql", READS_A_FILE)
def test_files_are_out_of_reach(client: Any, sql: str) -> None:
    with pytest.raises(DatabaseError) as caught:
        client.command(sql)
    assert caught.value.code in (ACCESS_DENIED, UNKNOWN_TABLE)


@pytest.mark.parametrize("sql", READS_A_FILE)
def test_control_the_bare_engine_reads_them(bare_engine: Any, sql: str) -> None:
    assert b"root:" in bare_engine.query(sql, "TSVRaw").bytes()


@pytest.mark.parametrize("database", ["default", "penstock", "system"])
def test_no_database_is_a_window_on_the_file_system(client: Any, database: str) -> None:
    with pytest.raises(DatabaseError) as caught:
        client.command(f"SELECT * FROM {database}.`/etc/passwd`")
    assert caught.value.code == UNKNOWN_TABLE


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM url('http://127.0.0.1:1/x', 'CSV')",
        "SELECT * FROM s3('http://127.0.0.1:1/b/x', 'CSV')",
        "SELECT * FROM remote('127.0.0.1:1', 'system.one')",
        "SELECT * FROM cluster('default', 'system.one')",
        "SELECT * FROM mysql('127.0.0.1:1', 'd', 't', 'u', 'p')",
        "SELECT * FROM sqlite('/tmp/x.db', 't')",
        "SELECT * FROM executable('id', 'TSV', 's String')",
        "SELECT * FROM eval('SELECT 1')",
        "SELECT * FROM Python(frame)",
        "SELECT * FROM iceberg('x')",
        "SELECT * FROM nosuchtable, file('x')",
        "INSERT INTO FUNCTION file('/tmp/x.csv', 'CSV', 'a Int8') SELECT 1",
        "CREATE VIEW v AS SELECT * FROM file('/etc/passwd')",
        "CREATE TABLE k (a Int8) ENGINE = Kafka('127.0.0.1:1', 't', 'g', 'CSV')",
        "CREATE TABLE k (a Int8) ENGINE = URL('http://127.0.0.1:1/', 'CSV')",
        "CREATE TABLE k (a Int8) ENGINE = MergeTree ORDER BY a SETTINGS disk = disk(type = 'local', path = '/d/')",
        "CREATE DATABASE f ENGINE = Filesystem('/')",
        "CREATE DICTIONARY d (a Int8) PRIMARY KEY a SOURCE(FILE(path '/etc/passwd' format 'CSV')) LAYOUT(FLAT())",
        "CREATE DICTIONARY d (a Int8) PRIMARY KEY a SOURCE(HTTP(url 'http://127.0.0.1:1/')) LAYOUT(FLAT())",
        "SYSTEM SHUTDOWN",
    ],
)
def test_networks_programs_and_foreign_engines_are_refused(client: Any, sql: str) -> None:
    with pytest.raises(DatabaseError) as caught:
        client.command(sql)
    assert caught.value.code == ACCESS_DENIED


@pytest.mark.parametrize(
    "sql", ["BACKUP TABLE t TO File('/tmp/b')", "ATTACH TABLE t FROM '/tmp/t'", "GRANT ALL ON *.* TO x"]
)
def test_statements_that_a_development_engine_has_no_use_for_are_refused(client: Any, sql: str) -> None:
    with pytest.raises(DatabaseError) as caught:
        client.command(sql)
    assert caught.value.code in (SYNTAX_ERROR, ACCESS_DENIED)


def test_the_harmless_table_functions_stay(client: Any) -> None:
    allowed = "SELECT * FROM values('a Int8', 1, 2)"
    assert (
        client.command(f"SELECT sum(number) FROM view(SELECT * FROM numbers(5)) WHERE number IN ({allowed})") == 3
    )


@pytest.mark.parametrize(
    "sql", ["SELECT 1; SELECT 2", "SELECT 1; DROP TABLE t", "INSERT INTO t VALUES (1); SELECT 2"]
)
def test_one_statement_a_request(curl: Curl, sql: str) -> None:
    status, headers, text = curl("", "--data-binary", sql)
    assert (status, headers["x-clickhouse-exception-code"]) == (400, str(SYNTAX_ERROR))
    assert b"Multi-statements" in text


@pytest.mark.parametrize("sql", ["1 + 1", "'x'", "nosuch", "", "-- nothing", "🚰"])
def test_an_expression_is_no_query(curl: Curl, sql: str) -> None:
    status, headers, _ = curl("", "--data-binary", sql)
    assert (status, headers["x-clickhouse-exception-code"]) == (400, str(SYNTAX_ERROR))


def test_insert_select_from_input_is_refused_because_it_would_write_nothing(client: Any) -> None:
    client.command("CREATE TABLE t (a Int8) ENGINE = Memory")
    with pytest.raises(DatabaseError) as caught:
        client.command("INSERT INTO t SELECT a FROM input('a Int8') FORMAT CSV", data="1\n")
    assert caught.value.code == ACCESS_DENIED


@pytest.mark.parametrize(
    "sql", ["SELECT 1 INTO OUTFILE '/tmp/x'", "INSERT INTO t FROM INFILE '/etc/passwd' FORMAT CSV"]
)
def test_the_clients_files_do_not_exist_over_http(curl: Curl, sql: str) -> None:
    status, headers, _ = curl("", "--data-binary", sql)
    assert (status, headers["x-clickhouse-exception-code"]) == (501, "48")


@pytest.mark.parametrize(
    "query_string", ["compress=1", "session_timeout=soon", "query_id=a%0d%0ab", "param_a-b=1", "database=nosuch"]
)
def test_a_parameter_that_cannot_be_served_is_an_error(curl: Curl, query_string: str) -> None:
    status, headers, _ = curl(query_string, "-d", "SELECT 1")
    assert status in (400, 404)
    assert "x-clickhouse-exception-code" in headers


def test_a_statement_has_a_longest_length(curl: Curl, tmp_path: Path) -> None:
    (tmp_path / "long.sql").write_text("SELECT '" + "x" * (9 << 20) + "'")
    assert curl("", "--data-binary", f"@{tmp_path / 'long.sql'}")[0] == 413
