"""Workspaces: made, filled from a project store, held to a quota, collected, removed, and reaped after crashes."""

from penstock_services.workspaces.artifacts import keep_artifacts
from penstock_services.workspaces.projects import ProjectStore
from penstock_services.workspaces.reaping import Reaped, reap
from penstock_services.workspaces.room import check_room
from penstock_services.workspaces.workspaces import Workspace, Workspaces

__all__ = ["ProjectStore", "Reaped", "Workspace", "Workspaces", "check_room", "keep_artifacts", "reap"]
