"""The user `reader` reads: nothing it says writes, whatever the engine's own `readonly` would let through."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import chdb
import clickhouse_connect
import pytest
from clickhouse_connect.driver.exceptions import DatabaseError, ProgrammingError
from clickhouse_connect.driver.external import ExternalData

from tests.embedded_clickhouse.conftest import Connect, Curl
from tests.fixtures.clickhouse import ClickHouseProcess

READONLY, AUTHENTICATION_FAILED = 164, 516
WRITES = [
    "INSERT INTO penstock.t VALUES (2)",
    "INSERT INTO FUNCTION null('a Int8') SELECT 1",
    "WITH 1 AS x INSERT INTO penstock.t SELECT x",
    "CREATE TABLE penstock.more (a Int64) ENGINE = Memory",
    "CREATE TEMPORARY TABLE more (a Int64)",
    "DROP TABLE penstock.t",
    "TRUNCATE TABLE penstock.t",
    "ALTER TABLE penstock.t ADD COLUMN b Int8",
    "DELETE FROM penstock.t WHERE 1",
    "OPTIMIZE TABLE penstock.t",
    "RENAME TABLE penstock.t TO penstock.u",
    "SYSTEM STOP MERGES",
    "KILL QUERY WHERE 1",
    "SET readonly = 0",
    "SELECT 1 SETTINGS readonly = 0",
]


class Readers:
    """A server whose user `reader` has one level of `readonly`."""

    def __init__(self, folder: Path, level: int) -> None:
        self.level = level
        self.server = ClickHouseProcess(folder, reader_readonly=level)
        self.admin = self.connect("default")
        self.admin.command("CREATE TABLE penstock.t (a Int64) ENGINE = MergeTree ORDER BY a")
        self.admin.command("INSERT INTO penstock.t VALUES (1)")

    def connect(self, user: str = "reader", **options: Any) -> Any:
        given = {"password": self.server.password, **options}
        return clickhouse_connect.get_client(host="127.0.0.1", port=self.server.port, username=user, **given)


@pytest.fixture(scope="module", params=[1, 2])
def readers(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Readers]:
    made = Readers(tmp_path_factory.mktemp("readers"), request.param)
    yield made
    made.server.stop()


def test_it_reads(readers: Readers) -> None:
    reader = readers.connect()
    assert reader.query("SELECT a FROM penstock.t").result_rows == [(1,)]
    assert reader.command("SELECT getSetting('readonly')") == readers.level
    assert reader.query("SHOW TABLES FROM penstock").result_rows == [("t",)]
    assert reader.query("SELECT {n:Int64}", parameters={"n": 7}).result_rows == [(7,)]
    reader.command("USE system")
    assert reader.command("SELECT currentDatabase()") == "system"


@pytest.mark.parametrize("keeps_session", [True, False])
@pytest.mark.parametrize("sql", WRITES)
def test_it_writes_nothing(readers: Readers, sql: str, keeps_session: bool) -> None:
    reader = readers.connect(autogenerate_session_id=keeps_session)
    with pytest.raises(DatabaseError) as caught:
        reader.command(sql)
    assert caught.value.code == READONLY
    assert readers.admin.query("SELECT a FROM penstock.t").result_rows == [(1,)]
    assert reader.query("SELECT a FROM penstock.t").result_rows == [(1,)]


def test_rows_in_a_format_are_refused_too(readers: Readers) -> None:
    with pytest.raises(DatabaseError) as caught:
        readers.connect().insert("penstock.t", [[2]], column_names=["a"])
    assert caught.value.code == READONLY
    assert readers.admin.command("SELECT count() FROM penstock.t") == 1


@pytest.mark.parametrize(
    "sql",
    [
        "SET max_block_size = 7",
        "SELECT 1 SETTINGS max_block_size = 7",
        "SELECT * FROM (SELECT 1 SETTINGS max_block_size = 7)",
    ],
)
def test_level_2_changes_settings_and_level_1_does_not(readers: Readers, sql: str) -> None:
    reader = readers.connect()
    if readers.level == 2:
        reader.command(sql)
        return
    with pytest.raises(DatabaseError) as caught:
        reader.command(sql)
    assert caught.value.code == READONLY


def test_a_setting_in_the_url_is_a_setting(readers: Readers) -> None:
    reader = readers.connect()
    if readers.level == 2:
        settings = {"max_block_size": 7}
        assert reader.query("SELECT getSetting('max_block_size')", settings=settings).result_rows == [(7,)]
        return
    with pytest.raises(ProgrammingError):  # the client asks the server which settings are writable
        reader.query("SELECT 1", settings={"max_block_size": 7})
    url = f"http://127.0.0.1:{readers.server.port}/?max_block_size=7&query=SELECT+1"
    headers = {"X-ClickHouse-User": "reader", "X-ClickHouse-Key": readers.server.password}
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=30)
    assert refused.value.headers["X-ClickHouse-Exception-Code"] == str(READONLY)


def test_external_tables_are_for_level_2(readers: Readers) -> None:
    data = ExternalData(file_name="x.tsv", data=b"5\n", structure="n Int64")
    reader = readers.connect()
    if readers.level == 2:
        assert reader.query("SELECT n FROM x", external_data=data).result_rows == [(5,)]
        return
    with pytest.raises(DatabaseError) as caught:
        reader.query("SELECT n FROM x", external_data=data)
    assert caught.value.code == READONLY


def test_its_sessions_are_its_own(readers: Readers) -> None:
    owner = readers.connect("default", session_id="shared")
    owner.command("CREATE TEMPORARY TABLE mine (a Int8)")
    with pytest.raises(DatabaseError) as caught:
        readers.connect(session_id="shared").query("SELECT * FROM mine")
    assert caught.value.code == 60


def test_a_wrong_password_is_refused(readers: Readers) -> None:
    with pytest.raises(DatabaseError) as caught:
        readers.connect(password="wrong")
    assert caught.value.code == AUTHENTICATION_FAILED


def test_without_its_password_file_there_is_no_reader(connect: Connect) -> None:
    with pytest.raises(DatabaseError) as caught:
        connect(username="reader")
    assert caught.value.code == AUTHENTICATION_FAILED


@pytest.mark.parametrize("session", ["", "&session_id=asks-for-less"])
@pytest.mark.parametrize("level", [1, 2])
def test_anybody_may_ask_to_be_read_only_for_one_query(client: Any, curl: Curl, session: str, level: int) -> None:
    client.command("CREATE TABLE t (a Int64) ENGINE = MergeTree ORDER BY a")
    status, headers, _ = curl(f"readonly={level}{session}", "-d", "INSERT INTO t VALUES (1)")
    assert (status, headers["x-clickhouse-exception-code"]) == (400, str(READONLY))
    assert curl(f"readonly={level}&max_threads=1{session}", "-d", "SELECT count() FROM t")[2] == b"0\n"
    assert curl(session.lstrip("&"), "-d", "INSERT INTO t VALUES (1)")[0] == 200


def test_a_session_that_made_itself_read_only_still_reads(curl: Curl) -> None:
    assert curl("session_id=frozen", "-d", "SET readonly = 1")[0] == 200
    assert curl("session_id=frozen", "-d", "SELECT 5")[2] == b"5\n"
    assert curl("session_id=frozen", "-d", "SET readonly = 0")[0] == 400
    assert curl("session_id=frozen&max_threads=17", "-d", "SELECT 5")[0] == 400
    assert curl("session_id=frozen&readonly=2", "-d", "SELECT 5")[0] == 400


def test_a_level_that_is_none_is_refused(curl: Curl) -> None:
    status, headers, _ = curl("readonly=yes", "-d", "SELECT 1")
    assert (status, headers["x-clickhouse-exception-code"]) == (400, "36")


@pytest.mark.parametrize(
    "sql", ["SYSTEM STOP MERGES", "KILL QUERY WHERE 0", "INSERT INTO FUNCTION null('a Int8') SELECT 1"]
)
def test_control_the_engines_own_readonly_lets_them_through(tmp_path: Path, sql: str) -> None:
    connection = chdb.connect(str(tmp_path / "bare"))
    connection.query("SET readonly = 2", "Null")
    connection.query(sql, "Null")
    connection.close()
