"""What an operator can set about the sandbox."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from penstock.settings import Settings


class SandboxSettings(Settings):
    """From `PENSTOCK_SANDBOX_*`."""

    model_config = SettingsConfigDict(env_prefix="PENSTOCK_SANDBOX_")

    folder: Path = Path("/var/lib/penstock")
    """Root's own folder for workspaces and the runtime root; every folder above it must be open to all users
    (o+x), because a sandbox enters its workspace as a user of its own."""
    policies: Path | None = None
    """A file of the shape of `tiers.toml` that changes the built-in policies."""
    projects_url: str | None = None
    """Where projects are, as `<url>/<tenant>/<project_id>/`: a folder, or any fsspec URL whose package is
    installed."""
    first_uid: Annotated[int, Field(ge=1_000, lt=2**31 - 140_000)] = 2_000_000_000
    """Users of sandboxes are numbered from here, one a slot, and those of their networks 65,536 further; no
    account may be among the next 131,072."""

    @property
    def workspaces(self) -> Path:
        """The folder of all workspaces and their volumes."""
        return self.folder / "workspaces"
