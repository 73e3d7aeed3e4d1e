"""The artifact store: blobs under their own hash, on anything fsspec can reach (a folder, S3, ...).

Layout: `<root>/<first two hex digits>/<sha256>`; a conversation's payloads are in a folder of their own,
`<root>/conversations/<scope>/<sha256>`, and can so be removed without asking who else has the same bytes. A
reference is trusted for its hash only: its `uri` says where its writer put the blob, and one that points outside
this store is refused, so a request from outside cannot make a worker read a file of its own host.
"""

from __future__ import annotations

import asyncio
import re
import uuid
from contextlib import suppress
from hashlib import sha256
from typing import NamedTuple

import fsspec

from penstock.errors import ArtifactStoreUnreachable, InvalidInput, NotFound, PayloadTooLarge
from penstock_schemas.records import PayloadRef
from penstock_schemas.topics import MAX_INLINE_BYTES

SCOPE = re.compile(r"[0-9a-f-]{36}")
"""A derived id; anything else might lead out of the store."""
MAX_PAYLOAD_BYTES = 64 * 1024 * 1024
"""A payload is held in memory whole, in the slot and in the supervisor, so it has a limit."""


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
        """Keep `data`; the same bytes are kept once, or once in each `scope`.

        1. Write to a temporary name. A crash here leaves a file nobody refers to.
        2. Move it to its hash. A crash after this leaves the whole blob: nothing half-written has a final name.

        Raises:
            PayloadTooLarge: above `MAX_PAYLOAD_BYTES`.
            ArtifactStoreUnreachable: the store could not be written.
        """
        _check_size(len(data))
        return await asyncio.to_thread(self._put, data, scope)

    def ref_of(self, sha256: str, size: int) -> PayloadRef:
        """The reference of bytes that were put into this store, outside of any scope."""
        return PayloadRef(sha256=sha256, size=size, uri=self._uri_of(self._path_of(sha256)))

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

    async def remove(self, scope: str) -> None:
        """Remove everything that was put in `scope`, if there is anything.

        Raises:
            ArtifactStoreUnreachable: the store could not be written; some of it may be gone.
        """
        await asyncio.to_thread(self._remove, self._folder_of(scope))

    def _remove(self, folder: str) -> None:
        try:
            self._fs.rm(folder, recursive=True)
        except FileNotFoundError:
            return
        except Exception as exc:  # every backend raises its own
            raise ArtifactStoreUnreachable(
                f"artifact store {self.url} could not be written: {exc!r}; check PENSTOCK_ARTIFACTS_URL"
            ) from exc

    def _put(self, data: bytes, scope: str | None) -> PayloadRef:
        digest = sha256(data).hexdigest()
        path = self._path_of(digest) if scope is None else f"{self._folder_of(scope)}/{digest}"
        ref = PayloadRef(sha256=digest, size=len(data), uri=self._uri_of(path))
        try:
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
        except Exception as exc:  # every backend raises its own
            raise ArtifactStoreUnreachable(
                f"artifact store {self.url} could not be written: {exc!r}; check PENSTOCK_ARTIFACTS_URL"
            ) from exc
        return ref

    def _get(self, ref: PayloadRef) -> bytes:
        path = self._path_of(ref.sha256)
        if ref.uri != self._uri_of(path):
            scope = ref.uri.removesuffix(f"/{ref.sha256}").rpartition("/")[2]
            scoped = f"{self._folder_of(scope)}/{ref.sha256}" if SCOPE.fullmatch(scope) else path
            if ref.uri != self._uri_of(scoped):
                raise InvalidInput(
                    f"payload reference {ref.uri!r} does not name {self._uri_of(path)}: references are only "
                    f"followed into the store this process is set to ({self.url})"
                )
            path = scoped
        try:
            size = self._size_of(path)
            data: bytes = self._fs.cat_file(path) if size == ref.size else b""
        except Exception as exc:  # every backend raises its own
            raise ArtifactStoreUnreachable(
                f"artifact store {self.url} could not be read: {exc!r}; check PENSTOCK_ARTIFACTS_URL"
            ) from exc
        if size is None:
            raise NotFound(f"no blob {ref.sha256} in artifact store {self.url}; it was removed or never put")
        if size != ref.size or sha256(data).hexdigest() != ref.sha256:
            raise ArtifactStoreUnreachable(f"{ref.uri} does not hold the {ref.size} bytes of its hash: damaged")
        return data

    def _size_of(self, path: str) -> int | None:
        try:
            return int(self._fs.info(path)["size"])
        except FileNotFoundError:
            return None

    def _path_of(self, digest: str) -> str:
        return f"{self._root}/{digest[:2]}/{digest}"

    def _folder_of(self, scope: str) -> str:
        assert SCOPE.fullmatch(scope), f"{scope!r} is not the name of a scope"
        return f"{self._root}/conversations/{scope}"

    def _uri_of(self, path: str) -> str:
        return str(self._fs.unstrip_protocol(path))


def needed(store: ArtifactStore | None) -> ArtifactStore:
    """`store`, where there is one.

    Raises:
        InvalidInput: there is none.
    """
    if store is None:
        raise InvalidInput("no artifact store is configured; set PENSTOCK_ARTIFACTS_URL")
    return store


class CarriedText(NamedTuple):
    """A text as a record carries it: inline or by reference; both None for no text."""

    inline: str | None
    ref: PayloadRef | None


async def carry_text(text: str, store: ArtifactStore | None, scope: str | None = None) -> CarriedText:
    """`text` inline up to `MAX_INLINE_BYTES` of UTF-8, above it by reference; `scope` as of `ArtifactStore.put`.

    Raises:
        PayloadTooLarge: above the limit, and `store` is None.
        ArtifactStoreUnreachable: the store could not be written.
    """
    data = text.encode()
    if len(data) <= MAX_INLINE_BYTES:
        return CarriedText(text, None)
    if store is None:
        raise PayloadTooLarge(
            f"a text of {len(data)} bytes is above {MAX_INLINE_BYTES} and no artifact store is configured; "
            "set PENSTOCK_ARTIFACTS_URL"
        )
    return CarriedText(None, await store.put(data, scope))


async def read_text(carried: CarriedText, store: ArtifactStore | None) -> str:
    """The text a record carries; empty where it carries none.

    Raises:
        InvalidInput: by reference, and `store` is None or the bytes are not UTF-8.
        NotFound, ArtifactStoreUnreachable, PayloadTooLarge: as `ArtifactStore.get`.
    """
    if carried.ref is None:
        return carried.inline or ""
    data = await needed(store).get(carried.ref)
    try:
        return data.decode()
    except UnicodeDecodeError as exc:
        raise InvalidInput(f"{carried.ref.uri} is not UTF-8 text: {exc}") from exc


def _check_size(size_bytes: int) -> None:
    if size_bytes > MAX_PAYLOAD_BYTES:
        raise PayloadTooLarge(f"a payload of {size_bytes} bytes is above the limit of {MAX_PAYLOAD_BYTES} bytes")
