"""Taking files out of a workspace by pattern, into the artifact store."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from penstock.agents.commands import Kept
from penstock.artifacts import MAX_PAYLOAD_BYTES, ArtifactStore
from penstock.errors import PayloadTooLarge, WorkspaceRefused
from penstock_services.workspaces.beneath import Found, files_beneath, read_beneath

MAX_FILES = 1_000
MAX_TOTAL_BYTES = 512 * 1024 * 1024
"""Of one collection."""
MAX_LOOKED_AT = 200_000
"""Files, so that a workspace of nothing but files keeps nobody busy for ever."""


def matching(workspace: Path, patterns: Sequence[str]) -> list[Found]:
    """Regular files whose path matches one of the patterns (`*` matches slashes too), in order of their paths.

    Raises:
        WorkspaceRefused: a pattern that leads out, or more files than are taken.
        PayloadTooLarge: a file, or all of them, above the limit.
    """
    for pattern in patterns:
        if not pattern or pattern.startswith("/") or ".." in pattern.split("/") or "\0" in pattern:
            raise WorkspaceRefused(f"pattern {pattern[:60]!r} leads out of the workspace")
    found = [
        file
        for file in files_beneath(workspace, MAX_LOOKED_AT)
        if any(fnmatchcase(file.path, pattern) for pattern in patterns)
    ]
    if len(found) > MAX_FILES:
        raise WorkspaceRefused(f"{len(found)} files match {list(patterns)!r}; at most {MAX_FILES} are kept")
    total_bytes = sum(file.size_bytes for file in found)
    largest_bytes = max((file.size_bytes for file in found), default=0)
    if largest_bytes > MAX_PAYLOAD_BYTES or total_bytes > MAX_TOTAL_BYTES:
        raise PayloadTooLarge(
            f"files that match {list(patterns)!r} have {total_bytes} bytes, the largest {largest_bytes}; at most "
            f"{MAX_TOTAL_BYTES} together and {MAX_PAYLOAD_BYTES} each are kept"
        )
    return found


async def keep_artifacts(workspace: Path, patterns: Sequence[str], store: ArtifactStore) -> list[Kept]:
    """Put every matching file into `store`; the same bytes are kept once.

    Raises:
        WorkspaceRefused, PayloadTooLarge: as `matching`, or a file that became a link or grew meanwhile.
        ArtifactStoreUnreachable: the store could not be written.
    """
    kept = []
    for file in matching(workspace, patterns):
        try:
            data = read_beneath(workspace, file.path, MAX_PAYLOAD_BYTES + 1)
        except FileNotFoundError:  # another command of the run took it away meanwhile
            continue
        if len(data) > MAX_PAYLOAD_BYTES:
            raise PayloadTooLarge(f"{file.path!r} grew above {MAX_PAYLOAD_BYTES} bytes while it was read")
        kept.append(Kept(file.path, await store.put(data)))
    return kept
