"""The artifact store: blobs under their own hash, on anything fsspec can reach (a folder, S3, ...).

Layout: `<root>/<YYYY-MM>/<first two hex digits>/<sha256>`, by the month in UTC in which the bytes were put, so
that old months can be removed whole: what is put today never leads there, whoever had the same bytes then. A
conversation's payloads are in a folder of their own, `<root>/conversations/<scope>/<sha256>`, and go with it.
A reference is trusted for its hash only: its `uri` says where its writer put the blob, and one that points outside
this store is refused, so a request from outside cannot make a worker read a file of its own host.
"""

from __future__ import annotations

import asyncio
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from hashlib import sha256

import fsspec

from penstock.errors import ArtifactStoreUnreachable, InvalidInput, NotFound, PayloadTooLarge
from penstock.models import Value
from penstock.settings import ArtifactSettings
from penstock_schemas.records import PayloadRef

MAX_PAYLOAD_BYTES = 64 * 1024 * 1024
"""A payload is held in memory whole, in the slot and in the supervisor, so it has a limit."""
MONTH = re.compile(r"\d{4}-(?:0[1-9]|1[0-2])")
CONVERSATION = re.compile(r"[0-9a-f-]{36}")
"""A derived id; anything else might lead out of the store."""
_PLACE = re.compile(
    rf"/(?:(?P<month>{MONTH.pattern})/[0-9a-f]{{2}}|conversations/(?P<conversation>{CONVERSATION.pattern}))"
    r"/[0-9a-f]{64}$"
)


class StoredMonth(Value):
    """What was put in one month, conversations' payloads aside."""

    month: str
    """`YYYY-MM`, in UTC."""
    blobs: int
    size_bytes: int


class ArtifactStore:
    """Content-addressed blobs below `url`. Connects on first use.

    Args:
        url: any fsspec URL, or a plain path of a folder.

    Raises:
        InvalidInput: no file system is installed for the URL's scheme.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        try:
            self._fs, root = fsspec.core.url_to_fs(url)
        except (ValueError, ImportError) as exc:
            raise InvalidInput(
                f"artifact store {url!r} cannot be used: {exc}; set PENSTOCK_ARTIFACTS_URL to a folder or an "
                "fsspec URL whose package is installed"
            ) from exc
        self._root = root.rstrip("/")

    async def put(self, data: bytes, scope: str | None = None) -> PayloadRef:
        """Keep `data`; the same bytes are kept once in each scope.

        1. Write to a temporary name. A crash here leaves a file nobody refers to.
        2. Move it to its hash. A crash after this leaves the whole blob: nothing half-written has a final name.

        Args:
            scope: what it is removed with, a month or the name of a conversation's folder; default: this month.

        Raises:
            PayloadTooLarge: above `MAX_PAYLOAD_BYTES`.
            ArtifactStoreUnreachable: the store could not be written.
        """
        _check_size(len(data))
        return await asyncio.to_thread(self._put, data, scope or this_month())

    async def get(self, ref: PayloadRef) -> bytes:
        """The bytes of `ref`, checked against its size and hash.

        Raises:
            InvalidInput: the reference points outside this store.
            PayloadTooLarge: it claims more than `MAX_PAYLOAD_BYTES`.
            NotFound: this store has no such blob.
            ArtifactStoreUnreachable: the store could not be read, or holds other bytes under that hash.
        """
        _check_size(ref.size)
        return await asyncio.to_thread(self._get, ref)

    def beside(self, ref: PayloadRef, sha256: str, size: int) -> PayloadRef:
        """The reference of other bytes that were put in the scope of `ref`.

        Raises:
            InvalidInput: `ref` points outside this store.
        """
        return PayloadRef(sha256=sha256, size=size, uri=self._uri_of(self._path_of(sha256, self._scope_of(ref))))

    async def months(self) -> list[StoredMonth]:
        """The months of which something is kept, oldest first.

        Raises:
            ArtifactStoreUnreachable: the store could not be read.
        """
        return await asyncio.to_thread(self._months)

    async def remove(self, scope: str) -> None:
        """Remove everything that was put in `scope`, if there is anything.

        Raises:
            ArtifactStoreUnreachable: the store could not be written; some of it may be gone.
        """
        folder = self._folder_of(scope)
        with self._access("written"), suppress(FileNotFoundError):
            await asyncio.to_thread(self._fs.rm, folder, recursive=True)

    def _months(self) -> list[StoredMonth]:
        with self._access("read"):
            try:
                names = [str(path).rpartition("/")[2] for path in self._fs.ls(self._root, detail=False)]
            except FileNotFoundError:  # nothing was ever put
                return []
            found = []
            for month in sorted(filter(MONTH.fullmatch, names)):
                blobs = self._fs.find(self._folder_of(month), detail=True).values()
                size_bytes = sum(int(blob["size"]) for blob in blobs)
                found.append(StoredMonth(month=month, blobs=len(blobs), size_bytes=size_bytes))
        return found

    def _put(self, data: bytes, scope: str) -> PayloadRef:
        digest = sha256(data).hexdigest()
        path = self._path_of(digest, scope)
        ref = PayloadRef(sha256=digest, size=len(data), uri=self._uri_of(path))
        with self._access("written"):
            if self._size_of(path) == len(data):
                return ref
            temporary = f"{path}.{uuid.uuid4().hex}.part"
            self._fs.makedirs(path.rpartition("/")[0], exist_ok=True)
            try:
                self._fs.pipe_file(temporary, data)
            except Exception:  # half of it would keep what is full from being emptied
                with suppress(Exception):
                    self._fs.rm_file(temporary)
                raise
            self._fs.mv(temporary, path)
        return ref

    def _get(self, ref: PayloadRef) -> bytes:
        path = self._path_of(ref.sha256, self._scope_of(ref))
        with self._access("read"):
            size = self._size_of(path)
            data: bytes = self._fs.cat_file(path) if size == ref.size else b""
        if size is None:
            raise NotFound(f"no blob {ref.sha256} in artifact store {self.url}; it was removed or never put")
        if size != ref.size or sha256(data).hexdigest() != ref.sha256:
            raise ArtifactStoreUnreachable(f"{ref.uri} does not hold the {ref.size} bytes of its hash: damaged")
        return data

    @contextmanager
    def _access(self, what: str) -> Iterator[None]:
        try:
            yield
        except Exception as exc:  # every backend raises its own
            raise ArtifactStoreUnreachable(
                f"artifact store {self.url} could not be {what}: {exc!r}; check PENSTOCK_ARTIFACTS_URL"
            ) from exc

    def _size_of(self, path: str) -> int | None:
        try:
            return int(self._fs.info(path)["size"])
        except FileNotFoundError:
            return None

    def _scope_of(self, ref: PayloadRef) -> str:
        place = _PLACE.search(ref.uri)
        scope = place and (place["month"] or place["conversation"])
        if scope is None or ref.uri != self._uri_of(self._path_of(ref.sha256, scope)):
            raise InvalidInput(
                f"payload reference {ref.uri!r} does not name {ref.sha256} in {self._uri_of(self._root)}: "
                f"references are only followed into the store this process is set to ({self.url})"
            )
        return scope

    def _path_of(self, digest: str, scope: str) -> str:
        folder = self._folder_of(scope)
        return f"{folder}/{digest[:2]}/{digest}" if MONTH.fullmatch(scope) else f"{folder}/{digest}"

    def _folder_of(self, scope: str) -> str:
        if MONTH.fullmatch(scope):
            return f"{self._root}/{scope}"
        assert CONVERSATION.fullmatch(scope), f"{scope!r} is not the name of a scope"
        return f"{self._root}/conversations/{scope}"

    def _uri_of(self, path: str) -> str:
        return str(self._fs.unstrip_protocol(path))


def this_month() -> str:
    """The month in UTC, as a scope."""
    return months_before(0)


def months_before(count: int) -> str:
    """The month that is `count` months before this one."""
    now = datetime.now(UTC)
    year, month = divmod(now.year * 12 + now.month - 1 - count, 12)
    return f"{year:04}-{month + 1:02}"


def store_of(settings: ArtifactSettings) -> ArtifactStore | None:
    """The store that `settings` name, or None where they name none; raises like `ArtifactStore`."""
    return ArtifactStore(settings.url) if settings.url else None


def needed(store: ArtifactStore | None) -> ArtifactStore:
    """`store`, where there is one.

    Raises:
        InvalidInput: there is none.
    """
    if store is None:
        raise InvalidInput("no artifact store is configured; set PENSTOCK_ARTIFACTS_URL")
    return store


def _check_size(size_bytes: int) -> None:
    if size_bytes > MAX_PAYLOAD_BYTES:
        raise PayloadTooLarge(f"a payload of {size_bytes} bytes is above the limit of {MAX_PAYLOAD_BYTES} bytes")
