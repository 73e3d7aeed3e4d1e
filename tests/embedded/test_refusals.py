"""What `penstock up` refuses before it starts anything, and that it changes nothing then."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from penstock.errors import AlreadyRunning, DataFolderDamaged, DiskFull, InvalidInput, JavaMissing, PortTaken
from penstock_services.embedded.down import purge
from penstock_services.embedded.jars import JavaServers, java_servers
from penstock_services.embedded.lock import FolderLock
from penstock_services.embedded.state import Layout, StateFolder
from penstock_services.embedded.up import UpOptions, prepare


@pytest.fixture
def folder(tmp_path: Path) -> StateFolder:
    return StateFolder(tmp_path / ".penstock")


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        yield taken.getsockname()[1]


@pytest.fixture(scope="session")
def fetched() -> JavaServers:
    return java_servers()


def prepare_and_release(folder: StateFolder, **options: object) -> None:
    settings = {"auto_ports": True, **options}
    prepare(folder, UpOptions(**settings), report=lambda line: None).release()  # type: ignore[arg-type]


def test_control_a_new_folder_is_prepared(folder: StateFolder, fetched: JavaServers) -> None:
    prepare_and_release(folder)
    layout = folder.layout()
    assert layout is not None
    assert set(layout.ports) >= {"kafka", "registry", "clickhouse"}
    assert layout.partitions == 4


def test_ports_are_kept_for_the_next_start(folder: StateFolder, fetched: JavaServers) -> None:
    prepare_and_release(folder)
    first = folder.layout()
    prepare_and_release(folder, auto_ports=False)
    assert folder.layout() == first


def test_an_interrupted_creation_is_simply_done_again(folder: StateFolder, fetched: JavaServers) -> None:
    folder.path.mkdir()
    folder.lock_file.touch()
    (folder.path / "layout.json.new").write_text('{"vers')
    prepare_and_release(folder)
    assert folder.layout() is not None


def test_a_folder_in_use_is_refused_with_the_pid(folder: StateFolder) -> None:
    folder.path.mkdir()
    held = FolderLock.take(folder.lock_file)
    try:
        with pytest.raises(AlreadyRunning, match=r"pid \d+"):
            prepare_and_release(folder)
    finally:
        held.release()


@pytest.mark.parametrize("use", ["kafka", "registry", "clickhouse"])
def test_a_taken_port_is_named_with_its_option(folder: StateFolder, taken_port: int, use: str) -> None:
    with pytest.raises(PortTaken, match=f"{taken_port} for {use} .*--{use}-port"):
        prepare_and_release(folder, ports={use: taken_port})
    assert not folder.broker("kafka").exists()
    assert folder.layout() is None


def test_a_kept_port_that_is_taken_now_is_refused_but_auto_takes_another(
    folder: StateFolder, taken_port: int, fetched: JavaServers
) -> None:
    folder.path.mkdir()
    folder.save_layout(Layout(ports={"kafka": taken_port}))
    with pytest.raises(PortTaken, match=str(taken_port)):
        prepare_and_release(folder, auto_ports=False, ports={"registry": 1025, "clickhouse": 1026})
    prepare_and_release(folder)
    layout = folder.layout()
    assert layout is not None
    assert layout.ports["kafka"] != taken_port


def test_one_port_for_two_servers_is_refused(folder: StateFolder) -> None:
    with pytest.raises(PortTaken, match="asked for twice"):
        prepare_and_release(folder, ports={"kafka": 21000, "registry": 21000})


def test_too_little_disk_is_said_before_anything_is_written(
    folder: StateFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PENSTOCK_MIN_FREE_MB", str(10**9))
    with pytest.raises(DiskFull, match="MB free"):
        prepare_and_release(folder)
    assert not folder.path.exists()


def test_a_free_space_limit_that_is_no_number_is_refused(
    folder: StateFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PENSTOCK_MIN_FREE_MB", "two")
    with pytest.raises(InvalidInput, match="PENSTOCK_MIN_FREE_MB 'two'"):
        prepare_and_release(folder)


def test_no_java_is_said_before_anything_is_written(folder: StateFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENSTOCK_JAVA", "/nowhere/bin/java")
    with pytest.raises(JavaMissing):
        prepare_and_release(folder)
    assert not folder.path.exists()


def test_a_folder_of_somebody_else_is_neither_used_nor_deleted(folder: StateFolder) -> None:
    folder.path.mkdir()
    (folder.path / "thesis.txt").write_text("years of work")
    with pytest.raises(DataFolderDamaged, match=r"thesis\.txt"):
        prepare_and_release(folder)
    with pytest.raises(DataFolderDamaged, match="not deleted"):
        purge(folder)
    assert [entry.name for entry in folder.path.iterdir()] == ["thesis.txt"]


def test_a_file_in_the_folders_place_is_named(folder: StateFolder) -> None:
    folder.path.write_text("")
    with pytest.raises(DataFolderDamaged, match="is a file"):
        prepare_and_release(folder)


def test_data_without_its_layout_is_damaged_and_can_be_purged(folder: StateFolder) -> None:
    folder.broker("kafka").mkdir(parents=True)
    folder.lock_file.touch()
    with pytest.raises(DataFolderDamaged, match="--purge"):
        prepare_and_release(folder)
    purge(folder)
    assert not folder.path.exists()


def test_topics_without_their_meta_properties_are_damaged(folder: StateFolder) -> None:
    (folder.broker("kafka") / "data" / "penstock.accounts.events.v1-0").mkdir(parents=True)
    folder.save_layout(Layout())
    with pytest.raises(DataFolderDamaged, match=r"meta\.properties"):
        prepare_and_release(folder)


def test_control_an_interrupted_format_is_not_damage(folder: StateFolder, fetched: JavaServers) -> None:
    (folder.broker("kafka") / "data").mkdir(parents=True)
    (folder.broker("kafka") / "data" / "bootstrap.checkpoint").touch()
    folder.save_layout(Layout())
    prepare_and_release(folder)


@pytest.mark.parametrize("content", ["", "{", '{"version": 99}', '{"version": 1, "partitions": 0}'])
def test_a_layout_that_makes_no_sense_is_damaged(folder: StateFolder, content: str) -> None:
    folder.path.mkdir()
    folder.layout_file.write_text(content)
    with pytest.raises(DataFolderDamaged, match="layout"):
        prepare_and_release(folder)


def test_another_partition_count_than_the_folder_has_is_refused(folder: StateFolder) -> None:
    folder.path.mkdir()
    folder.save_layout(Layout(partitions=2))
    with pytest.raises(InvalidInput, match=r"--partitions 3: .* have 2"):
        prepare_and_release(folder, partitions=3)


def test_control_a_new_folder_of_three_brokers_is_prepared(folder: StateFolder, fetched: JavaServers) -> None:
    prepare_and_release(folder, brokers=3)
    layout = folder.layout()
    assert layout is not None
    assert set(layout.ports) >= {"kafka", "kafka-2", "kafka-3", "kafka-3-controller"}
    assert len(set(layout.ports.values())) == len(layout.ports)
    prepare_and_release(folder)
    assert folder.layout() == layout


@pytest.mark.parametrize(("has", "asked"), [(1, 3), (3, 1)])
def test_another_number_of_brokers_than_the_folder_has_is_refused(
    folder: StateFolder, has: int, asked: int
) -> None:
    folder.path.mkdir()
    folder.save_layout(Layout.model_validate({"brokers": has}))
    with pytest.raises(InvalidInput, match=rf"--brokers {asked}: .* is that of {has}.*--purge"):
        prepare_and_release(folder, brokers=asked)


@pytest.mark.parametrize("count", [0, 2, 4])
def test_a_number_of_brokers_that_makes_no_sense_is_refused(folder: StateFolder, count: int) -> None:
    with pytest.raises(InvalidInput, match=f"--brokers {count}"):
        prepare_and_release(folder, brokers=count)
    assert not folder.path.exists()


def test_topics_of_any_broker_without_their_meta_properties_are_damaged(folder: StateFolder) -> None:
    (folder.broker("kafka-3") / "data" / "penstock.accounts.events.v1-0").mkdir(parents=True)
    folder.save_layout(Layout.model_validate({"brokers": 3}))
    with pytest.raises(DataFolderDamaged, match=r"kafka-3.*meta\.properties"):
        prepare_and_release(folder)
