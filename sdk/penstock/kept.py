"""What runs keep of their files: the list, as it lies in the artifact store, and what its paths may be."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pydantic import TypeAdapter, ValidationError

from penstock.artifacts import ArtifactStore
from penstock.errors import InvalidInput
from penstock.models import Value
from penstock_schemas.records import PayloadRef

EVERYTHING = "*"
"""The pattern of every file: `*` matches slashes too."""
MAX_PATTERNS = 32
MAX_PATTERN_CHARS = 256


class ListedFile(Value):
    """A file as the list of an attempt's files tells of it."""

    path: str
    """Below the workspace it was in, with slashes."""
    size_bytes: int
    sha256: str
    """Of its bytes, as lower-case hex."""


class Artifact(ListedFile):
    """A file that the accepted attempt of an execution kept."""

    uri: str
    """Where it is in the artifact store: in the scope of its list."""

    @property
    def ref(self) -> PayloadRef:
        """Its bytes."""
        return PayloadRef(sha256=self.sha256, size=self.size_bytes, uri=self.uri)


_list = TypeAdapter(list[ListedFile])


def list_bytes(files: Iterable[ListedFile]) -> bytes:
    """The list of `files`, by path, as it is put into the artifact store, in the scope that they were put in."""
    return _list.dump_json(sorted(files, key=lambda file: file.path))


async def read_list(ref: PayloadRef, store: ArtifactStore | None) -> list[Artifact]:
    """The list a record refers to.

    Raises:
        InvalidInput: no store is configured, or what is there is no such list.
        NotFound, ArtifactStoreUnreachable, PayloadTooLarge: as `ArtifactStore.get`.
    """
    if store is None:
        raise InvalidInput(f"the list of kept files is at {ref.uri}; set PENSTOCK_ARTIFACTS_URL to read it")
    try:
        listed = _list.validate_json(await store.get(ref))
    except ValidationError as exc:
        raise InvalidInput(f"{ref.uri} is no list of kept files: {exc}") from exc
    return [
        Artifact(**file.model_dump(), uri=store.beside(ref, file.sha256, file.size_bytes).uri) for file in listed
    ]


def leads_out(path: str) -> bool:
    """Whether a path or a pattern does not stay below the folder it is of."""
    return not path or path.startswith("/") or ".." in path.split("/") or "\0" in path


def patterns_problem(patterns: Sequence[str]) -> str | None:
    """Why files cannot be kept by `patterns`; None where they can."""
    if len(patterns) > MAX_PATTERNS:
        return f"{len(patterns)} patterns; at most {MAX_PATTERNS}"
    for pattern in patterns:
        if len(pattern) > MAX_PATTERN_CHARS:
            return f"a pattern of {len(pattern)} characters; at most {MAX_PATTERN_CHARS}"
        if not pattern.isprintable():
            return f"pattern {pattern!r} has characters in it that cannot be printed"
        if leads_out(pattern):
            return f"pattern {pattern!r} leads out of the workspace; write it as out/*.csv"
    return None
