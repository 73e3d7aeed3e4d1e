"""A task's local copy of its changelog: bytes to bytes, with a mark of how far the changelog was applied."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec
from rocksdict import BlockBasedOptions, Cache, Options, Rdict, WriteBatch, WriteBufferManager
from sortedcontainers import SortedDict

from penstock_streams.kit.errors import StoreUnusable

Change = tuple[bytes, bytes | None]
"""Key and value; None deletes."""
_FIRST_OF_CHANGELOG: Final = b"\x01"
LOCAL_PREFIX = b"\x00" + b"2"
"""Of keys that are in no changelog, whose own are higher. Its number is that of the store's layout: a store of
another one seems to have no mark, and is rebuilt."""


class Mark(msgspec.Struct, frozen=True, array_like=True):
    """How far a changelog has been applied."""

    next_offset: int
    applied_at: int
    """Microseconds; tombstones older than the topic's delete.retention.ms may be gone."""


class Store(Protocol):
    """One partition of one table. Changes and mark are applied together or not at all."""

    def get(self, key: bytes) -> bytes | None: ...

    def apply(self, changes: Iterable[Change], mark: Mark) -> None: ...

    def mark(self) -> Mark | None:
        """None where nothing was ever applied."""
        ...

    def between(self, first: bytes, end: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Every entry whose key is `first` or higher and below `end`, in order."""
        ...

    def note(self, changes: Iterable[Change]) -> None:
        """Apply what is no part of the changelog: the keys begin with `LOCAL_PREFIX`, and the mark stays."""
        ...

    def is_empty(self) -> bool:
        """Whether it has nothing of a changelog."""
        ...

    def clear(self) -> None:
        """Forget everything, the mark too."""
        ...

    def close(self) -> None: ...


class MemoryStore:
    """A sorted dict, gone with the process."""

    def __init__(self) -> None:
        self._data = SortedDict()  # bytes to bytes
        self._mark: Mark | None = None

    def get(self, key: bytes) -> bytes | None:
        value: bytes | None = self._data.get(key)
        return value

    def apply(self, changes: Iterable[Change], mark: Mark) -> None:
        self.note(changes)
        self._mark = mark

    def note(self, changes: Iterable[Change]) -> None:
        for key, value in changes:
            if value is None:
                self._data.pop(key, None)
            else:
                self._data[key] = value

    def mark(self) -> Mark | None:
        return self._mark

    def between(self, first: bytes, end: bytes) -> Iterator[tuple[bytes, bytes]]:
        found = list(self._data.irange(first, end, inclusive=(True, False)))
        return ((key, self._data[key]) for key in found)

    def is_empty(self) -> bool:
        return next(self._data.irange(_FIRST_OF_CHANGELOG), None) is None

    def clear(self) -> None:
        self._data, self._mark = SortedDict(), None

    def close(self) -> None:
        self.clear()


def made(folder: Path) -> Path:
    """The folder, made with those above it.

    Raises:
        StoreUnusable: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise StoreUnusable(
            f"folder {folder} cannot be made: {exc}; set PENSTOCK_STREAMS_DATA_DIR to a folder that this "
            "process may write"
        ) from exc
    return folder


ARENA_BYTES = 32 * 1024
"""What a write buffer grows by. Rocksdb's megabyte, times dozens of stores, would be all there is."""
_MARK_KEY = LOCAL_PREFIX + b"mark"
_decode_mark = msgspec.msgpack.Decoder(Mark).decode


class RocksMemory:
    """What all rocksdb stores of a process use together; each for itself would take up to 128 MiB and more.

    Half at most is write buffers: a store that writes while they are full puts its own on disk. The rest caches
    blocks. Indexes of the files are not in it, nor what the kernel caches.
    """

    def __init__(self, size_bytes: int) -> None:
        self._cache = Cache(size_bytes)
        self._buffers = WriteBufferManager.new_write_buffer_manager_with_cache(
            size_bytes // 2, allow_stall=False, cache=self._cache
        )

    def used_by(self, options: Options) -> None:
        """Let a store with these options take part."""
        blocks = BlockBasedOptions()
        blocks.set_block_cache(self._cache)
        options.set_block_based_table_factory(blocks)
        options.set_write_buffer_manager(self._buffers)
        options.set_arena_block_size(ARENA_BYTES)

    def buffered_bytes(self) -> int:
        """What is in write buffers now."""
        return self._buffers.get_usage()


class RocksStore:
    """A rocksdb folder. The mark lies in the same write batch as the changes it covers.

    A kill loses nothing; a power loss may lose the last writes, which the mark shows and recovery repeats.
    """

    def __init__(self, folder: Path, memory: RocksMemory) -> None:
        self._folder = folder
        self._memory = memory
        made(folder.parent)
        self._db = self._open()

    def _open(self) -> Rdict:
        options = Options(raw_mode=True)
        options.create_if_missing(True)
        options.set_max_open_files(64)  # per partition; a process may own dozens
        self._memory.used_by(options)
        try:
            return Rdict(str(self._folder), options)
        except Exception as exc:  # rocksdict raises nothing narrower
            raise StoreUnusable(
                f"rocksdb folder {self._folder} cannot be opened: {exc}; give each streams process a "
                "PENSTOCK_STREAMS_DATA_DIR of its own, or delete the folder: it is rebuilt from the changelog"
            ) from exc

    def get(self, key: bytes) -> bytes | None:
        value: bytes | None = self._db.get(key)
        return value

    def apply(self, changes: Iterable[Change], mark: Mark) -> None:
        self.note([*changes, (_MARK_KEY, msgspec.msgpack.encode(mark))])

    def note(self, changes: Iterable[Change]) -> None:
        batch = WriteBatch(raw_mode=True)
        for key, value in changes:
            if value is None:
                batch.delete(key)
            else:
                batch.put(key, value)
        self._db.write(batch)

    def mark(self) -> Mark | None:
        value = self._db.get(_MARK_KEY)
        return None if value is None else _decode_mark(value)

    def between(self, first: bytes, end: bytes) -> Iterator[tuple[bytes, bytes]]:
        entries: Iterator[tuple[Any, Any]] = self._db.items(from_key=first)  # raw mode: both are bytes
        for key, value in entries:
            if key >= end:
                return
            yield key, value

    def is_empty(self) -> bool:
        return next(self._db.keys(from_key=_FIRST_OF_CHANGELOG), None) is None

    def clear(self) -> None:
        self._db.close()
        Rdict.destroy(str(self._folder))
        self._db = self._open()

    def close(self) -> None:
        self._db.close()
