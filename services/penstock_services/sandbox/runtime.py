"""The runtime root: the commands and libraries a sandbox sees, and its `/etc`.

Commands are copied into a folder of their own, so that one a tier leaves out is not there under any name.
Libraries are shown where they are. A folder is named after what went into it and shared by all workers of a host:
it is written under a temporary name and moved into place, so that a crash leaves nothing half-made in use.
"""

from __future__ import annotations

import glob
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from penstock.errors import SandboxUnavailable
from penstock_services.sandbox.policies import Policy, RuntimeList, load_policies

SEARCHED = (Path("/usr/bin"), Path("/bin"), Path("/usr/local/bin"))
"""Where the host's commands are looked for, in this order."""
USER, UID = "agent", 1000
"""Who a command is, as it sees itself."""
PASSWD = f"root:x:0:0:root:/:/bin/false\n{USER}:x:{UID}:{UID}:agent:/workspace:/bin/sh\n"
MAX_ETC_FILE_BYTES = 1024 * 1024
SECRET_NAME = re.compile(
    r"shadow|passwd-|group-|secret|credential|token|private|password|sudoers|\.key$|_key$|keytab|machine-id|^hostname$"
)
SECRET_TEXT = re.compile(rb"PRIVATE KEY|password\s*[=:]|passwd\s*=|secret\s*[=:]|token\s*[=:]", re.IGNORECASE)
"""What keeps a file of the host's `/etc` out of a sandbox's copy, besides not being readable for everyone."""


class Shown(NamedTuple):
    """A host path and where a sandbox sees it, read-only."""

    host: str
    inside: str


class Runtime:
    """The runtime root of one host.

    Args:
        folder: of root alone, open to all users; made if missing.
        wanted: what goes in; the built-in list by default.
    """

    def __init__(self, folder: Path, wanted: RuntimeList | None = None) -> None:
        self._folder = folder
        self._wanted = wanted or load_policies().runtime
        self._known: dict[Policy, list[Shown]] = {}

    def shown(self, policy: Policy) -> list[Shown]:
        """What a sandbox of that policy sees besides its workspace; assembled when first asked for.

        Raises:
            SandboxUnavailable: the folder cannot be written or is not root's alone.
        """
        if policy not in self._known:
            self._known[policy] = self._assemble(policy)
        return self._known[policy]

    def _assemble(self, policy: Policy) -> list[Shown]:
        try:
            self._own_folder()
            commands = self._commands(policy)
            etc = self._etc(policy)
        except OSError as exc:
            raise SandboxUnavailable(
                f"the sandbox's runtime root cannot be assembled in {self._folder}: {exc} "
                f"(PENSTOCK_SANDBOX_FOLDER)"
            ) from exc
        shown = [Shown(str(commands), "/usr/bin"), Shown(str(etc), "/etc")]
        for pattern in self._wanted.libraries:
            shown += [Shown(path, path) for path in sorted(glob.glob(pattern))]
        rest = (path for path in policy.readable if path != "/etc" and not path.startswith("/etc/"))
        return shown + [Shown(path, path) for path in rest if os.path.exists(path)]

    def _own_folder(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        found = self._folder.stat()
        if found.st_uid != os.geteuid() or found.st_mode & 0o022:
            raise SandboxUnavailable(
                f"{self._folder} can be written by others than this worker's user; chmod go-w it"
            )
        self._folder.chmod(0o755)

    def _commands(self, policy: Policy) -> Path:
        sources = {name: found for name in self._wanted.commands if (found := _on_host(name))}
        kept = {name: path for name, path in sources.items() if name not in policy.left_out}
        left_out = {path for name, path in sources.items() if name in policy.left_out}
        kept = {name: path for name, path in kept.items() if path not in left_out}  # nor under another name
        described = sorted((name, str(path), path.stat().st_mtime_ns) for name, path in kept.items())

        def write(into: Path) -> None:
            copied: dict[Path, Path] = {}
            for name, path in kept.items():
                if path in copied:
                    os.link(copied[path], into / name)
                else:
                    copied[path] = Path(shutil.copyfile(path, into / name))
                    copied[path].chmod(0o755)  # without the set-user-id bit, if there was one
            for path in sorted(copied):  # python3 looks for its library by the name that it is a link to
                if not (into / path.name).exists():
                    os.link(copied[path], into / path.name)

        return self._kept(repr(("commands", described)), write)

    def _etc(self, policy: Policy) -> Path:
        wanted = [Path(path) for path in policy.readable if path == "/etc" or path.startswith("/etc/")]
        files = sorted({file for path in wanted for file in _public_files(path)})
        described = [(str(file), file.stat().st_mtime_ns) for file in files]

        def write(into: Path) -> None:
            for file in files:
                target = into / file.relative_to("/etc")
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, target)
                target.chmod(0o644)
            (into / "passwd").write_text(PASSWD)
            if policy.network:  # each command's own are put over them
                for name in ("hosts", "resolv.conf"):
                    (into / name).touch()
            if Path("/etc") in wanted:
                (into / "group").write_text(f"root:x:0:\n{USER}:x:{UID}:\n")

        return self._kept(repr(("etc", described, PASSWD, policy.network)), write)

    def _kept(self, described: str, write: object) -> Path:
        assert callable(write)
        place = self._folder / sha256(described.encode()).hexdigest()[:24]
        if place.is_dir():
            return place
        temporary = Path(tempfile.mkdtemp(prefix="part-", dir=self._folder))
        try:
            write(temporary)
            temporary.chmod(0o755)
            temporary.rename(place)
        except OSError:
            if not place.is_dir():  # else another worker was quicker
                raise
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        return place


def _on_host(name: str) -> Path | None:
    for folder in SEARCHED:
        path = Path(os.path.realpath(folder / name))
        if path.is_file() and os.access(path, os.X_OK):
            return path
    return None


def _public_files(path: Path) -> Iterator[Path]:
    """Regular files at or below `path` that everyone may read and that hold no secret, `passwd` and `group`
    apart."""
    if path.is_symlink() or not path.exists():
        return
    if path.is_dir():
        if path.stat().st_mode & 0o005 == 0o005 and not SECRET_NAME.search(path.name):
            for entry in sorted(path.iterdir()):
                yield from _public_files(entry)
        return
    found = path.stat()
    public = path.is_file() and found.st_mode & 0o004 and found.st_size <= MAX_ETC_FILE_BYTES
    if public and not SECRET_NAME.search(path.name) and not SECRET_TEXT.search(path.read_bytes()):
        yield path
