"""Ids as names of folders."""

from __future__ import annotations

import re

from penstock.errors import WorkspaceRefused
from penstock_schemas.ids import derived_id

SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
"""ASCII only, so that no two ids look alike; no leading dot, so that none is `..` or a folder of ours."""


def checked(what: str, name: str) -> str:
    """`name`, where it can be a folder's.

    Raises:
        WorkspaceRefused: it cannot.
    """
    if not SAFE_NAME.fullmatch(name):
        raise WorkspaceRefused(
            f"{what} {name[:60]!r} cannot name a folder: 1 to 128 of A-Z a-z 0-9 . _ -, the first a letter or "
            f"digit"
        )
    return name


def folder_of(execution_id: str, epoch: int) -> str:
    """The folder of one attempt; an execution's id may be any text, so some go by a hash."""
    name = f"{execution_id}.{epoch}"
    return name if SAFE_NAME.fullmatch(name) else derived_id("workspace", execution_id, epoch)
