"""The slot's side of the sandbox: one attempt's workspace and commands."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

from penstock.agents.commands import Kept, Outcome
from penstock.artifacts import ArtifactStore, needed, store_of
from penstock.errors import SandboxUnavailable, WorkspaceRefused
from penstock.settings import ArtifactSettings
from penstock_consumers.worker.wire import Start
from penstock_schemas.records import PayloadRef
from penstock_services.sandbox.policies import Policies, load_policies
from penstock_services.sandbox.runtime import Runtime
from penstock_services.sandbox.sandbox import Sandbox
from penstock_services.sandbox.settings import SandboxSettings
from penstock_services.sandbox.users import claimed_uid
from penstock_services.workspaces import ProjectStore, Workspaces, check_room, keep_artifacts
from penstock_services.workspaces.beneath import write_beneath
from penstock_services.workspaces.names import folder_of

PROJECT_KEY = "project_id"
"""Of a request's metadata: the project whose files are put into the workspace."""


class AttemptSandbox:
    """Makes the workspace when it is first asked for: most agents never do.

    Raises:
        SandboxUnavailable: the worker serves no sandbox for the attempt's tier.
    """

    def __init__(self, start: Start) -> None:
        self._start = start
        self._sandbox: Sandbox | None = None
        self._kept: dict[str, int] = {}
        """Bytes by path."""

    @property
    def made(self) -> bool:
        """Whether there is a workspace: an agent that never asked for one left nothing in it."""
        return self._sandbox is not None

    async def receive(self) -> None:
        """Put the files of earlier stages, where there are any, into the workspace, as its owner's.

        Raises:
            QuotaExceeded: they do not fit.
            WorkspaceRefused: a path leads out of the workspace, or is a folder of the project.
            InvalidInput, NotFound, ArtifactStoreUnreachable, PayloadTooLarge: as `ArtifactStore.get`.
        """
        handed = self._start.handed
        if not handed:
            return
        workspace, store = self._prepared().workspace, _store()
        check_room(workspace, [file.size_bytes for file in handed], "what earlier stages handed on")
        for file in handed:
            data = await store.get(PayloadRef(sha256=file.sha256, size=file.size_bytes, uri=file.uri))
            try:
                write_beneath(workspace, file.path, data)
            except IsADirectoryError as exc:
                raise WorkspaceRefused(
                    f"an earlier stage handed on {file.path!r}, a folder of the project"
                ) from exc

    def prepare(self) -> Path:
        """As `Sandboxed.prepare`.

        Raises:
            SandboxUnavailable: the worker has no sandbox for this tier.
            WorkspaceError, ProjectStoreUnreachable: the workspace cannot be made or filled.
        """
        return self._prepared().workspace

    async def run(
        self, argv: Sequence[str], *, stdin: bytes | None, timeout_s: float | None, output_bytes: int
    ) -> Outcome:
        """As `Sandbox.run`."""
        return await self._prepared().run(argv, stdin=stdin, timeout_s=timeout_s, output_bytes=output_bytes)

    async def keep(self, patterns: Sequence[str]) -> Sequence[Kept]:
        """As `keep_artifacts`, within the limits of all that the attempt keeps."""
        workspace, scope = self._prepared().workspace, self._start.kept_in
        kept = await keep_artifacts(workspace, patterns, _store(), self._kept, scope)
        self._kept |= {file.path: file.ref.size for file in kept}
        return kept

    def _prepared(self) -> Sandbox:
        if self._sandbox is None:
            self._sandbox = self._make()
        return self._sandbox

    def _make(self) -> Sandbox:
        start = self._start
        if not start.sandboxed:
            raise SandboxUnavailable(
                f"this worker has no sandbox for tier {start.tier!r} (PENSTOCK_WORKER_TIERS), so it runs no "
                "command and makes no workspace for it"
            )
        settings = SandboxSettings()
        policy = policies(settings).of(start.tier, start.tenant_id)
        uid = claimed_uid(settings.folder / "users", settings.first_uid)
        workspaces = Workspaces(settings.workspaces)
        name = folder_of(start.execution_id, start.epoch)
        workspace = workspaces.create(start.tenant_id, name, quota_bytes=policy.quota_bytes, uid=uid)
        project = start.metadata.get(PROJECT_KEY)
        if project is not None:
            if not settings.projects_url:
                raise WorkspaceRefused(
                    f"project {project!r} is asked for and there is no project store; set "
                    f"PENSTOCK_SANDBOX_PROJECTS_URL"
                )
            ProjectStore(settings.projects_url).fill(workspace.path, start.tenant_id, project)
        runtime = Runtime(settings.folder / "runtime", policies(settings).runtime)
        return Sandbox(policy, workspace.path, uid, runtime=runtime)


def _store() -> ArtifactStore:
    return needed(store_of(ArtifactSettings()))


@cache
def policies(settings: SandboxSettings) -> Policies:
    """The operator's policies, read once."""
    return load_policies(settings.policies)
