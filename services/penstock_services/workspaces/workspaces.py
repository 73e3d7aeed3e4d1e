"""Workspaces: one folder an attempt, of the attempt's own user, in its tenant's volume.

    <base>/<tenant>/<execution>/    the workspace, 0700
    <base>/.volumes/<tenant>.img    the tenant's file system, while it has a workspace
    <base>/.owners/<tenant>/<execution>    which process made it
    <base>/.locks/<tenant>          one creation or removal at a time

Creation: (1) the owner is written, (2) the volume is made unless there is one, (3) the folder. Removal goes the
other way. A crash at any point leaves the owner's name until the rest is gone, and that is what the reaper goes
by.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from penstock.errors import SandboxUnavailable, WorkspaceError, WorkspaceRefused
from penstock_services.sandbox.owners import Owner, this_process
from penstock_services.workspaces.names import checked
from penstock_services.workspaces.volumes import Volume, run_tool

HIDDEN = (".volumes", ".owners", ".locks")


@dataclass(frozen=True, slots=True)
class Workspace:
    """One attempt's folder."""

    tenant: str
    name: str
    path: Path
    uid: int


class Workspaces:
    """The workspaces of this host below `base`.

    Raises:
        SandboxUnavailable: `base` cannot be made or written, or sandboxes could not enter it.
    """

    def __init__(self, base: Path) -> None:
        self._base = base
        try:
            base.mkdir(mode=0o711, parents=True, exist_ok=True)
            for name in HIDDEN:
                (base / name).mkdir(mode=0o700, exist_ok=True)
        except OSError as exc:
            raise SandboxUnavailable(
                f"no workspaces can be made at {base}: {exc} (PENSTOCK_SANDBOX_FOLDER)"
            ) from exc
        closed = [folder for folder in (base, *base.resolve().parents) if not folder.stat().st_mode & 0o001]
        if closed:
            raise SandboxUnavailable(
                f"sandboxes cannot enter {base}: {closed[-1]} is closed to other users; chmod o+x it, or set "
                "PENSTOCK_SANDBOX_FOLDER to another folder"
            )

    def path(self, tenant: str, name: str) -> Path:
        """Where a workspace is, or would be.

        Raises:
            WorkspaceRefused: one of the names cannot be a folder's.
        """
        return self._base / checked("tenant", tenant) / checked("execution", name)

    def create(self, tenant: str, name: str, *, quota_bytes: int, uid: int) -> Workspace:
        """Make an empty workspace of the user `uid`.

        Args:
            tenant, name: whose and which; names of folders.
            quota_bytes: the tenant's, over all its workspaces on this host. It counts when the first is made.
            uid: who owns it.

        Raises:
            WorkspaceRefused: a name cannot be a folder's, or the workspace exists.
            WorkspaceError: the volume cannot be made, or is full.
        """
        path = self.path(tenant, name)
        with self._locked(tenant):
            if path.exists():
                raise WorkspaceRefused(f"workspace {path} exists already")
            owner = self._owner_file(tenant, name)
            owner.parent.mkdir(mode=0o700, exist_ok=True)
            owner.write_text(this_process().name)
            try:
                volume = self._volume(tenant)
                if not volume.mounted:
                    volume.mount(quota_bytes)
                for folder in (path, path / ".tmp"):
                    folder.mkdir(mode=0o700)
                    os.chown(folder, uid, uid)
            except BaseException as exc:
                self._remove(tenant, name)
                if isinstance(exc, OSError):
                    raise WorkspaceError(f"workspace {path} cannot be made: {exc}") from exc
                raise
        return Workspace(tenant, name, path, uid)

    def remove(self, tenant: str, name: str) -> None:
        """Remove a workspace, if there is one; the tenant's last takes the volume with it.

        Raises:
            WorkspaceError: something refuses to go.
        """
        if self.has(tenant, name):
            with self._locked(tenant):
                self._remove(tenant, name)

    def has(self, tenant: str, name: str) -> bool:
        """Whether there is such a workspace, or a part of one.

        Raises:
            WorkspaceRefused: one of the names cannot be a folder's.
        """
        return self._owner_file(tenant, name).exists()

    def leftovers(self) -> Iterator[tuple[str, str]]:
        """Tenant and name of every workspace whose process is gone."""
        for owner in sorted((self._base / ".owners").glob("*/*")):
            try:
                made_by = Owner.parse(owner.read_text())
            except FileNotFoundError:
                continue
            if made_by is None or made_by.gone:
                yield owner.parent.name, owner.name

    def _remove(self, tenant: str, name: str) -> None:
        path, volume = self.path(tenant, name), self._volume(tenant)
        # By their owners: what lies in the volume may be lost+found, or nothing yet.
        siblings = [other for other in _names(self._owner_file(tenant, name).parent) if other != name]
        if not siblings or not volume.mounted:
            volume.unmount()
        elif path.exists():
            # A tree may be deeper than Python's stack, and than what a path may have.
            run_tool("rm", "-rf", "--one-file-system", "--", str(path))
        owner = self._owner_file(tenant, name)
        owner.unlink(missing_ok=True)
        with suppress(OSError):
            owner.parent.rmdir()

    def _owner_file(self, tenant: str, name: str) -> Path:
        return self._base / ".owners" / checked("tenant", tenant) / checked("execution", name)

    def _volume(self, tenant: str) -> Volume:
        return Volume(self._base / ".volumes" / f"{tenant}.img", self._base / tenant)

    @contextmanager
    def _locked(self, tenant: str) -> Iterator[None]:
        path = self._base / ".locks" / checked("tenant", tenant)
        while True:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX)
                os.set_inheritable(fd, True)  # mkfs and mount hold it too, should we be killed meanwhile
                if _is_file(fd, path):
                    try:
                        yield
                    finally:
                        if not (self._base / tenant).exists():
                            path.unlink(missing_ok=True)
                    return
            finally:
                os.close(fd)


def _is_file(fd: int, path: Path) -> bool:
    """Whether the lock that was waited for is still the one others will wait for."""
    try:
        return os.path.samestat(os.fstat(fd), path.stat())
    except FileNotFoundError:
        return False


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except FileNotFoundError:
        return []
