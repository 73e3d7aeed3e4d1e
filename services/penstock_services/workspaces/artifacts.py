"""Taking files out of a workspace by pattern, into the artifact store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from types import MappingProxyType

from penstock.agents.commands import Kept
from penstock.artifacts import MAX_PAYLOAD_BYTES, ArtifactStore
from penstock.errors import PayloadTooLarge, WorkspaceRefused
from penstock.kept import leads_out
from penstock_services.workspaces.beneath import Found, files_beneath, read_beneath

MAX_FILES = 1_000
MAX_TOTAL_BYTES = 512 * 1024 * 1024
"""Both of all that one attempt keeps."""
MAX_LOOKED_AT = 200_000
"""Files, so that a workspace of nothing but files keeps nobody busy for ever."""


NONE: Mapping[str, int] = MappingProxyType({})


def matching(workspace: Path, patterns: Sequence[str], earlier: Mapping[str, int] = NONE) -> list[Found]:
    """Regular files whose path matches one of the patterns (`*` matches slashes too), in order of their paths.

    Args:
        earlier: bytes by path of what the attempt has kept already; the limits are of all together.

    Raises:
        WorkspaceRefused: a pattern that leads out, more files than are taken, or a name that is no text.
        PayloadTooLarge: a file, or all of them, above the limit.
    """
    for pattern in patterns:
        if leads_out(pattern):
            raise WorkspaceRefused(f"pattern {pattern[:60]!r} leads out of the workspace")
    found = [
        file
        for file in files_beneath(workspace, MAX_LOOKED_AT)
        if any(fnmatchcase(file.path, pattern) for pattern in patterns)
    ]
    for file in found:
        if not _is_text(file.path):
            raise WorkspaceRefused(f"the name of {file.path!r} is not UTF-8, so no record can say it; rename it")
    sizes = dict(earlier) | {file.path: file.size_bytes for file in found}
    if len(sizes) > MAX_FILES:
        already = f", with what was kept before {list(earlier)[:3]!r}…" if earlier else ""
        raise WorkspaceRefused(
            f"{len(sizes)} files match {list(patterns)!r}{already}; at most {MAX_FILES} are kept"
        )
    total_bytes = sum(sizes.values())
    largest_bytes = max((file.size_bytes for file in found), default=0)
    if largest_bytes > MAX_PAYLOAD_BYTES or total_bytes > MAX_TOTAL_BYTES:
        raise PayloadTooLarge(
            f"files that match {list(patterns)!r} have {total_bytes} bytes, the largest {largest_bytes}; at most "
            f"{MAX_TOTAL_BYTES} together and {MAX_PAYLOAD_BYTES} each are kept"
        )
    return found


async def keep_artifacts(
    workspace: Path,
    patterns: Sequence[str],
    store: ArtifactStore,
    earlier: Mapping[str, int] = NONE,
    scope: str | None = None,
) -> list[Kept]:
    """Put every matching file into `store`; the same bytes are kept once.

    Args:
        earlier: as of `matching`.
        scope: as of `ArtifactStore.put`.

    Raises:
        WorkspaceRefused, PayloadTooLarge: as `matching`, or a file that became a link or grew meanwhile.
        ArtifactStoreUnreachable: the store could not be written.
    """
    kept = []
    for file in matching(workspace, patterns, earlier):
        try:
            data = read_beneath(workspace, file.path, MAX_PAYLOAD_BYTES + 1)
        except FileNotFoundError:  # another command of the run took it away meanwhile
            continue
        if len(data) > MAX_PAYLOAD_BYTES:
            raise PayloadTooLarge(f"{file.path!r} grew above {MAX_PAYLOAD_BYTES} bytes while it was read")
        kept.append(Kept(file.path, await store.put(data, scope)))
    return kept


def _is_text(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:  # bytes that are not UTF-8 come as lone surrogates
        return False
    return True
