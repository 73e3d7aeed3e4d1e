"""Files that go from one stage of a pipeline to the next: which, and whether this worker can hand them on."""

from __future__ import annotations

from penstock.artifacts import ArtifactStore
from penstock.errors import InvalidInput, SandboxUnavailable
from penstock.kept import read_list
from penstock_consumers.worker.wire import Handed
from penstock_schemas.records import ExecutionDispatched


async def handed_files(
    dispatch: ExecutionDispatched, store: ArtifactStore | None, *, sandboxed: bool
) -> tuple[Handed, ...]:
    """What the attempt is given, each file below the folder of the stage it is of.

    Args:
        dispatch: the attempt.
        store: where the files are; None where none is configured.
        sandboxed: whether this worker has a sandbox for the attempt's tier, and so workspaces.

    Raises:
        SandboxUnavailable, InvalidInput: files are to be handed on, and this worker cannot; with the setting.
        InvalidInput, NotFound, ArtifactStoreUnreachable, PayloadTooLarge: as `read_list`.
    """
    if not dispatch.artifact_patterns and not dispatch.handed_artifacts:
        return ()
    if not sandboxed:
        raise SandboxUnavailable(
            f"files are to be handed from stage to stage, which needs a workspace, and this worker has no sandbox "
            f"for tier {dispatch.tier!r} (PENSTOCK_WORKER_TIERS)"
        )
    if store is None:
        raise InvalidInput(
            "files are to be handed from stage to stage and this worker has no artifact store; set "
            "PENSTOCK_ARTIFACTS_URL"
        )
    return tuple(
        [
            Handed(
                path=f"{given.folder}/{file.path}" if given.folder else file.path,
                sha256=file.sha256,
                size_bytes=file.size_bytes,
                uri=file.uri,
            )
            for given in dispatch.handed_artifacts
            for file in await read_list(given.ref, store)
        ]
    )
