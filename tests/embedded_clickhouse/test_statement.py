"""The scanner: right about strings, comments and brackets, so that no name hides and no data is taken for SQL."""

from __future__ import annotations

import pytest

from penstock_services.embedded.clickhouse.statement import scan


@pytest.mark.parametrize(
    ("sql", "kind", "format_name"),
    [
        ("SELECT 1", "SELECT", None),
        ("select 1 format JSON;", "SELECT", "JSON"),
        ("SELECT 1 FORMAT JSON SETTINGS max_threads = 1", "SELECT", "JSON"),
        ("WITH 1 AS x SELECT x FORMAT TSV -- end", "WITH", "TSV"),
        ("(SELECT 1) UNION ALL (SELECT 2) FORMAT CSV", "(", "CSV"),
        ("SELECT format('{}', 1) FROM t", "SELECT", None),
        ("SELECT format FROM t", "SELECT", None),
        ("SELECT ' FORMAT JSON'", "SELECT", None),
        ("/* a */ -- b\n SHOW TABLES FORMAT TSV", "SHOW", "TSV"),
        ("WITH x AS (SELECT 1) INSERT INTO t SELECT * FROM x", "INSERT", None),
        ("CREATE TABLE t (a Int8) ENGINE = Memory", "CREATE", None),
    ],
)
def test_the_kind_and_the_format_clause_are_found(sql: str, kind: str, format_name: str | None) -> None:
    statement = scan(sql.encode())
    assert (statement.kind, statement.format_name) == (kind, format_name)


@pytest.mark.parametrize(
    ("sql", "carries_data"),
    [
        ("INSERT INTO t FORMAT CSV\n1;2", True),
        ("INSERT INTO t (a, b) SETTINGS x = 1 FORMAT Native\n", True),
        ("INSERT INTO t VALUES (1)", False),
        ("INSERT INTO t FORMAT Values (1)", False),
        ("INSERT INTO t SELECT 1", False),
        ("INSERT INTO t WITH 1 AS x SELECT x", False),
        ("INSERT INTO t (SELECT) SELECT 1", False),
        ("SELECT 1", False),
    ],
)
def test_an_insert_whose_rows_are_data_is_told_from_one_whose_rows_are_sql(sql: str, carries_data: bool) -> None:
    assert scan(sql.encode()).carries_data is carries_data


def test_insert_data_is_not_scanned() -> None:
    sql = b"INSERT INTO t FORMAT CSV\n'; SELECT file('x')"
    statement = scan(sql)
    assert not statement.calls
    assert not statement.has_second
    assert statement.data_start == len(b"INSERT INTO t FORMAT CSV")


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM file('x')",
        "SELECT * FROM FiLe ('x')",
        "SELECT * FROM `file`('x')",
        "SELECT * FROM \"file\"('x')",
        "SELECT * FROM `fi\\le`('x')",
        "SELECT * FROM “file”('x')",
        "SELECT * FROM file/* here */('x')",
        "SELECT * FROM file -- here\n('x')",
        "SELECT * FROM file\u00a0('x')",
        "SELECT ‘'’, file('x'), ‘'’",
        "SELECT '\\'', file('x'), ''''",
        "SELECT $a$'$a$, file('x'), $$'$$",
        "INSERT INTO t VALUES (file('x'))",
        "INSERT INTO FUNCTION file('x') SELECT 1",
        "EXPLAIN SELECT * FROM file('x')",
    ],
)
def test_a_called_name_is_seen_however_it_is_written(sql: str) -> None:
    assert "file" in scan(sql.encode()).calls


@pytest.mark.parametrize(
    "sql", ["SELECT 'file('", "SELECT 1 -- file(", "SELECT file FROM t", "SELECT `file` FROM t"]
)
def test_a_name_that_is_not_called_is_not_a_call(sql: str) -> None:
    assert "file" not in scan(sql.encode()).calls


@pytest.mark.parametrize(
    ("sql", "has_second"),
    [
        ("SELECT 1; SELECT 2", True),
        ("SELECT ';'; ", False),
        ("SELECT 1; -- the end", False),
        ("INSERT INTO t VALUES (';'); DROP TABLE t", True),
    ],
)
def test_a_second_statement_is_seen(sql: str, has_second: bool) -> None:
    assert scan(sql.encode()).has_second is has_second


@pytest.mark.parametrize(
    "sql", ["CREATE TABLE t ENGINE = Kafka", "CREATE TABLE t engine Kafka()", "… ENGINE=`Kafka`"]
)
def test_the_engine_of_a_table_is_seen(sql: str) -> None:
    assert scan(sql.encode()).engines == {"kafka"}
