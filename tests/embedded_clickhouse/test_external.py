"""External tables: data beside a query, for that query only."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from clickhouse_connect.driver.exceptions import DatabaseError
from clickhouse_connect.driver.external import ExternalData

from tests.embedded_clickhouse.conftest import Connect, Curl


def people() -> ExternalData:
    return ExternalData(file_name="people.tsv", data=b"1\tAda\n2\tBob\n", structure="id Int64, name String")


def test_a_table_sent_along_is_queried(client: Any) -> None:
    query = "SELECT name FROM people WHERE id = {id:Int64}"
    assert client.query(query, parameters={"id": 2}, external_data=people()).result_rows == [("Bob",)]


def test_two_tables_are_joined_and_types_alone_name_the_columns(client: Any) -> None:
    both = people()
    both.add_file(file_name="paid.csv", data=b"2,1.50\n", fmt="CSV", types="Int64,Decimal(9, 2)")
    query = "SELECT name, toString(_2) FROM people INNER JOIN paid ON id = _1"
    assert client.query(query, external_data=both).result_rows == [("Bob", "1.5")]


def test_parquet_goes_along(client: Any, tmp_path: Path) -> None:
    pq.write_table(pa.table({"n": pa.array(range(10_000), pa.int64())}), tmp_path / "many.parquet")
    data = ExternalData(str(tmp_path / "many.parquet"), fmt="Parquet", structure="n Int64")
    assert client.query("SELECT sum(n) FROM many", external_data=data).result_rows == [(49_995_000,)]


def test_bytes_arrive_as_they_were_sent(client: Any) -> None:
    content = bytes(range(256)) + b"\r\n--\r\r\n\n" + random.Random(3).randbytes(50_000)
    data = ExternalData(file_name="raw.bin", data=content, fmt="RawBLOB", structure="s String")
    assert client.query("SELECT hex(s) FROM raw", external_data=data).result_rows == [(content.hex().upper(),)]


def test_an_empty_table_is_a_table(client: Any) -> None:
    data = ExternalData(file_name="empty.csv", data=b"", structure="name String")
    assert client.query("SELECT count() FROM empty", external_data=data).result_rows == [(0,)]


def test_it_can_be_copied_into_a_real_table(client: Any) -> None:
    client.command(
        "CREATE TABLE kept ENGINE = MergeTree ORDER BY id EMPTY AS SELECT * FROM people", external_data=people()
    )
    client.command("INSERT INTO kept SELECT * FROM people", external_data=people())
    assert client.command("SELECT count() FROM kept") == 2


def test_it_is_gone_after_its_query_even_in_a_session(connect: Connect) -> None:
    client = connect(session_id="with-external")
    for _ in range(2):
        assert client.query("SELECT count() FROM people", external_data=people()).result_rows == [(2,)]
    with pytest.raises(DatabaseError) as caught:
        client.query("SELECT count() FROM people")
    assert caught.value.code == 60


def test_a_temporary_table_of_the_session_is_not_replaced(connect: Connect) -> None:
    client = connect(session_id="owner")
    client.command("CREATE TEMPORARY TABLE people (id Int64)")
    client.command("INSERT INTO people VALUES (7)")
    with pytest.raises(DatabaseError) as caught:
        client.query("SELECT * FROM people", external_data=people())
    assert caught.value.code == 57
    assert client.query("SELECT * FROM people").result_rows == [(7,)]


def test_rows_that_do_not_fit_fail_the_query_and_leave_no_table(connect: Connect) -> None:
    client = connect(session_id="misfit")
    data = ExternalData(file_name="numbers.csv", data=b"x\n", fmt="CSV", structure="n Int64")
    for _ in range(2):
        with pytest.raises(DatabaseError) as caught:
            client.query("SELECT * FROM numbers", external_data=data)
        assert caught.value.code == 117


@pytest.mark.parametrize(
    ("query_string", "field", "code"),
    [
        ("", "a", "36"),
        ("a_structure=n+Int8&a_format=CSV+SETTINGS+x=1", "a", "36"),
        ("a-b_structure=n+Int8", "a-b", "36"),
        ("a_structure=n+Int8)+ENGINE=File(CSV)--", "a", "497"),
        ("a_structure=n+Int8);DROP+TABLE+x;(", "a", "62"),
        ("a_structure=n+Nosuch", "a", "50"),
        ("a_structure=n+Int8&a_format=Nosuch", "a", "73"),
    ],
)
def test_a_description_that_describes_no_table_is_refused(
    curl: Curl, query_string: str, field: str, code: str
) -> None:
    _, headers, _ = curl(f"query=SELECT+1&{query_string}", "-F", f"{field}=1;filename=f")
    assert headers["x-clickhouse-exception-code"] == code


@pytest.mark.parametrize("content_type", ["multipart/form-data", "multipart/form-data; boundary=x"])
def test_a_form_that_is_none_is_refused(curl: Curl, content_type: str) -> None:
    status, headers, _ = curl("query=SELECT+1", "-H", f"Content-Type: {content_type}", "-d", "no form")
    assert (status, headers["x-clickhouse-exception-code"]) == (400, "36")
