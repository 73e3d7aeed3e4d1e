"""Filling a workspace with a project's files, from a folder, S3 or whatever else fsspec reaches."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import fsspec

from penstock.errors import InvalidInput, ProjectStoreUnreachable, QuotaExceeded, WorkspaceRefused
from penstock_services.workspaces.beneath import MAX_DEPTH, write_beneath
from penstock_services.workspaces.names import checked
from penstock_services.workspaces.room import check_room

MAX_FILES = 100_000
"""A project of more is refused before anything is copied."""
MAX_FILE_BYTES = 256 * 1024 * 1024
"""A file is in memory while it is copied."""


class _File(NamedTuple):
    source: str
    path: str
    size_bytes: int


class ProjectStore:
    """Projects below `url`, as `<url>/<tenant>/<project>/`: a tenant's ids lead to no other tenant's projects.

    Raises:
        InvalidInput: no file system is installed for the URL's scheme.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        try:
            self._fs, root = fsspec.core.url_to_fs(url)
        except (ValueError, ImportError) as exc:
            raise InvalidInput(
                f"project store {url!r} cannot be used: {exc}; set PENSTOCK_SANDBOX_PROJECTS_URL to a folder "
                f"or an "
                "fsspec URL whose package is installed"
            ) from exc
        self._root = root.rstrip("/")

    def fill(self, workspace: Path, tenant: str, project: str) -> int:
        """Copy a project into a workspace that nothing runs in yet; returns the number of files.

        Raises:
            WorkspaceRefused: an id that is no folder's name, no such project, too many files, or something in it
                that is no plain file: a link out of it, a device.
            QuotaExceeded: it is larger than what the workspace has room for.
            ProjectStoreUnreachable: the store could not be read.
        """
        source = f"{self._root}/{checked('tenant', tenant)}/{checked('project', project)}"
        try:
            files = list(self._files(source, project))
            check_room(workspace, [file.size_bytes for file in files], f"project {project!r}")
            for file in files:
                write_beneath(workspace, file.path, self._fs.cat_file(file.source))
        except (WorkspaceRefused, QuotaExceeded):
            raise
        except OSError as exc:
            if isinstance(exc, FileNotFoundError):
                raise WorkspaceRefused(f"there is no project {project!r} in {self.url}/{tenant}") from exc
            raise self._unreachable(exc) from exc
        except Exception as exc:  # every backend raises its own
            raise self._unreachable(exc) from exc
        return len(files)

    def _files(self, source: str, project: str) -> Iterator[_File]:
        local = "file" in _protocols(self._fs)
        found: dict[str, dict[str, Any]] = self._fs.find(source, withdirs=True, detail=True)
        if not found and not self._fs.exists(source):
            raise FileNotFoundError(source)
        count = 0
        for name, info in sorted(found.items()):
            path = name.removeprefix(source).lstrip("/")
            if local and not _plain(name, source):
                raise WorkspaceRefused(f"project {project!r} holds {path!r}, a link out of it or no plain file")
            if info["type"] == "directory" or not path:
                continue
            parts = PurePosixPath(path).parts
            if ".." in parts or "\0" in path or len(parts) > MAX_DEPTH:
                raise WorkspaceRefused(f"project {project!r} holds {path[:60]!r}, which is no path below it")
            count += 1
            size_bytes = int(os.stat(name).st_size if local else info["size"])
            if count > MAX_FILES or size_bytes > MAX_FILE_BYTES:
                raise WorkspaceRefused(
                    f"project {project!r} has more than {MAX_FILES} files, or one above {MAX_FILE_BYTES} bytes"
                )
            yield _File(name, path, size_bytes)

    def _unreachable(self, cause: Exception) -> ProjectStoreUnreachable:
        return ProjectStoreUnreachable(
            f"project store {self.url} could not be read: {cause!r}; check PENSTOCK_SANDBOX_PROJECTS_URL"
        )


def _protocols(fs: Any) -> tuple[str, ...]:
    return (fs.protocol,) if isinstance(fs.protocol, str) else tuple(fs.protocol)


def _plain(name: str, source: str) -> bool:
    """Whether a local path is a folder or a regular file, by links within its project at most."""
    root = os.path.realpath(source)
    real = os.path.realpath(name)
    kind = os.stat(real).st_mode if os.path.exists(real) else 0
    if os.path.islink(name):  # to a file of the project only: a link to a folder may go round in circles
        return real.startswith(root + os.sep) and stat.S_ISREG(kind)
    return (real == root or real.startswith(root + os.sep)) and (stat.S_ISREG(kind) or stat.S_ISDIR(kind))
