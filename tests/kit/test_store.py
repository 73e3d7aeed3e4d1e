"""One contract for both stores, and what only the folder on disk can do."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from penstock_streams.kit.errors import StoreUnusable
from penstock_streams.kit.store import Mark, MemoryStore, RocksMemory, RocksStore, Store


def rocks(folder: Path) -> RocksStore:
    return RocksStore(folder, RocksMemory(8 << 20))


@pytest.fixture(params=["memory", "rocksdb"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return MemoryStore() if request.param == "memory" else rocks(tmp_path / "a" / "0")


keys = st.sampled_from([b"p", b"ra", b"rb", b"ta", b"r"])
batches = st.lists(st.lists(st.tuples(keys, st.none() | st.binary(max_size=3)), max_size=8), max_size=5)


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(batches)
def test_holds_the_last_value_of_every_key(
    store: Store, given_batches: list[list[tuple[bytes, bytes | None]]]
) -> None:
    store.clear()
    last: dict[bytes, bytes] = {}
    for number, changes in enumerate(given_batches):
        store.apply(changes, Mark(number, 7))
        for key, value in changes:
            last.pop(key, None)
            if value is not None:
                last[key] = value
    assert {key: store.get(key) for key in (b"p", b"ra", b"rb", b"ta", b"r", b"x")} == {
        key: last.get(key) for key in (b"p", b"ra", b"rb", b"ta", b"r", b"x")
    }
    assert dict(store.between(b"r", b"s")) == {key: value for key, value in last.items() if key.startswith(b"r")}
    assert store.is_empty() == (not last)
    assert store.mark() == (Mark(len(given_batches) - 1, 7) if given_batches else None)


def test_clear_forgets_rows_and_mark(store: Store) -> None:
    store.apply([(b"ra", b"1")], Mark(1, 1))
    store.clear()
    assert (store.get(b"ra"), store.mark(), store.is_empty()) == (None, None, True)


def test_a_folder_opened_again_has_what_was_applied(tmp_path: Path) -> None:
    first = rocks(tmp_path / "0")
    first.apply([(b"ra", b"1"), (b"rb", b"")], Mark(5, 9))
    first.close()
    again = rocks(tmp_path / "0")
    assert (again.get(b"ra"), again.get(b"rb"), again.mark()) == (b"1", b"", Mark(5, 9))


def test_a_folder_another_process_holds_is_named_with_what_to_do(tmp_path: Path) -> None:
    held = rocks(tmp_path / "0")
    with pytest.raises(StoreUnusable, match="PENSTOCK_STREAMS_DATA_DIR"):
        rocks(tmp_path / "0")
    held.close()


def test_a_folder_that_cannot_be_made_is_named_with_its_setting(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(StoreUnusable, match="file/rocks cannot be made.*PENSTOCK_STREAMS_DATA_DIR"):
        rocks(tmp_path / "file" / "rocks" / "0")


def test_stores_of_a_process_buffer_little_more_than_their_share(tmp_path: Path) -> None:
    memory = RocksMemory(8 << 20)  # 4 MiB are for buffers
    stores = [RocksStore(tmp_path / str(number), memory) for number in range(12)]
    ends = time.monotonic() + 20
    written = 0
    while written < 48 << 20:
        for store in stores:
            store.apply([(b"r%d" % written, os.urandom(64 * 1024))], Mark(written, 1))
            written += 64 * 1024
        while memory.buffered_bytes() > 6 << 20:  # rocksdb writes full buffers to disk beside us
            assert time.monotonic() < ends, f"{memory.buffered_bytes()} bytes are buffered"
            stores[0].apply([(b"ra", b"")], Mark(written, 1))
    for store in stores:
        assert store.mark() is not None
        store.close()
