"""Where the corpus happens on this host: a folder, two workspaces of sized file systems, two uids of nobody's."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path

from penstock_services.sandbox.policies import Policies, Policy, load_policies
from penstock_services.sandbox.runtime import Runtime
from penstock_services.workspaces import Workspaces
from tests.fixtures.outside import Outside
from tests.isolation.scene import Scene

QUOTA_BYTES = 8 << 20
"""Of the attack's workspace: the mechanism is the tier's, and filling it takes no time."""
FIRST_UID = 2_000_060_000
"""Beyond the slots of any worker on this host."""


class Place:
    """Use as a context manager; leaves nothing.

    Args:
        mark: sets this place's uids apart from another one's at the same time.
    """

    def __init__(self, mark: int = 0) -> None:
        self.uid = FIRST_UID + 2 * (mark or os.getpid() % 2000)
        self.neighbours_uid = self.uid + 1
        self._tenants = (("tenant", self.uid), ("neighbour", self.neighbours_uid))
        self._closing = ExitStack()

    def __enter__(self) -> Place:
        self.folder = Path(tempfile.mkdtemp(prefix="penstock-isolation-"))
        self._closing.callback(shutil.rmtree, self.folder)
        self.folder.chmod(0o755)
        self.policies: Policies = load_policies()
        self.runtime = Runtime(self.folder / "runtime")
        self.base = self.folder / "workspaces"
        self.workspaces = Workspaces(self.base)
        self.sized, self.neighbours = (self._workspace(tenant, uid) for tenant, uid in self._tenants)
        self.sibling = self._workspace("tenant", self.uid, "sibling")  # which makes removal one by file
        self.plain = self.folder / "plain"
        self.plain.mkdir()
        return self

    def _workspace(self, tenant: str, uid: int, name: str = "execution") -> Path:
        made = self.workspaces.create(tenant, name, quota_bytes=QUOTA_BYTES, uid=uid)
        self._closing.callback(self.workspaces.remove, tenant, name)
        return made.path

    def __exit__(self, *_: object) -> None:
        self._closing.close()

    def policy(self, tier: str) -> Policy:
        return self.policies[tier]

    @cached_property
    def outside(self) -> Outside:
        """A host's network and what is outside, made when a case first needs them."""
        return self._closing.enter_context(Outside(self.folder))

    def restore(self) -> None:
        """Make the workspaces anew that the case before was about removing."""
        for path, tenant, uid in (
            (self.sized, "tenant", self.uid),
            (self.neighbours, "neighbour", self.neighbours_uid),
        ):
            if not path.exists():
                self.workspaces.create(tenant, "execution", quota_bytes=QUOTA_BYTES, uid=uid)

    def scene(self, *, plain: bool, same_uid: bool) -> Scene:
        """A new scene in an empty workspace: a sized one, or a plain folder where the size is on trial."""
        workspace = self.plain if plain else self.sized
        self.plain.mkdir(exist_ok=True)
        empty(workspace, self.uid)
        empty(self.sibling, self.uid if same_uid else self.neighbours_uid)
        empty(self.neighbours, self.uid if same_uid else self.neighbours_uid)
        scene = Scene(self.folder, workspace, self.uid, QUOTA_BYTES)
        scene.remove_workspace = lambda: self.workspaces.remove("tenant", "execution")
        scene.make_neighbours = lambda name: (
            self.workspaces.create("neighbour", name, quota_bytes=QUOTA_BYTES, uid=scene.neighbours_uid).path
        )
        scene.remove_neighbours = lambda name: self.workspaces.remove("neighbour", name)
        scene.sibling = self.sibling
        scene.neighbour, scene.all_workspaces = self.neighbours, self.base
        scene.neighbours_uid = self.uid if same_uid else self.neighbours_uid
        return scene


def empty(workspace: Path, uid: int) -> None:
    """Nothing in it, and the slot's alone."""
    subprocess.run(["find", workspace, "-mindepth", "1", "-delete"], check=True)  # knows no depth
    temporary = workspace / ".tmp"
    temporary.mkdir()
    for folder in (workspace, temporary):
        os.chown(folder, uid, uid)
        folder.chmod(0o700)
