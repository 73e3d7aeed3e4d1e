"""The client's methods about the files that runs kept."""

from __future__ import annotations

from collections.abc import Sequence

from penstock.artifacts import ArtifactStore, needed
from penstock.errors import NotFound
from penstock.following import Following
from penstock.kept import Artifact, read_list
from penstock.outcome import state_of


class ArtifactCalls:
    """Part of `Client`."""

    _following: Following
    _payloads: ArtifactStore | None

    async def artifacts(self, execution_id: str) -> Sequence[Artifact]:
        """The files that the accepted attempt of an execution kept, by path; none before its result is accepted.

        Raises:
            NotFound: no such execution, or the artifact store lost the list.
            InvalidInput: there are some, and no artifact store is configured here.
            ArtifactStoreUnreachable: the store does not answer.
        """
        found = state_of(await self._following.until_now(execution_id), cost_nanousd=0)
        return [] if found.artifacts_ref is None else await read_list(found.artifacts_ref, self._payloads)

    async def read_artifact(self, execution_id: str, artifact: Artifact | str) -> bytes:
        """The bytes of one of these files, checked against their hash.

        Args:
            execution_id: whose.
            artifact: one that `artifacts` returned, or its path, which costs the list once more.

        Raises:
            NotFound: it has no file of that path, or the artifact store lost it.
            InvalidInput: no artifact store is configured here.
            ArtifactStoreUnreachable: the store does not answer, or what it has is damaged.
        """
        if isinstance(artifact, str):
            files = {file.path: file for file in await self.artifacts(execution_id)}
            if artifact not in files:
                raise NotFound(
                    f"execution {execution_id} kept no file {artifact!r}; `penstock artifacts` lists them"
                )
            artifact = files[artifact]
        return await needed(self._payloads).get(artifact.ref)
