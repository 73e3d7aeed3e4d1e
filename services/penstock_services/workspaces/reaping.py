"""What crashes left behind: processes, control groups, workspaces and their mounts."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from penstock.errors import WorkspaceError
from penstock_services.sandbox.cgroups import Hierarchy
from penstock_services.sandbox.owners import Owner
from penstock_services.workspaces.workspaces import Workspaces

log = logging.getLogger("penstock.sandbox")


@dataclass(frozen=True, slots=True)
class Reaped:
    """How much was removed."""

    groups: int
    workspaces: int


def reap(hierarchy: Hierarchy, workspaces: Workspaces) -> Reaped:
    """Remove everything whose process is gone; processes first, so that no workspace is written while it goes.

    What refuses to go is said and tried again the next time.
    """
    groups = 0
    for group in hierarchy.groups():
        owner = Owner.parse(group.name)
        if owner is not None and owner.gone:
            if group.remove():
                groups += 1
            else:
                log.error("control group %s of an ended process cannot be removed", group.name)
    removed = 0
    for tenant, name in workspaces.leftovers():
        try:
            workspaces.remove(tenant, name)
            removed += 1
        except WorkspaceError as exc:
            log.error("the workspace of an ended process stays: %s", exc)
    if groups or removed:
        log.info("removed %d control groups and %d workspaces of ended processes", groups, removed)
    return Reaped(groups, removed)
