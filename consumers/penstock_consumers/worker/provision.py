"""The supervisor's side of the sandbox: tried at start, cleaned up after each run, reaped after crashes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from pathlib import Path

from penstock.errors import SandboxError
from penstock_consumers.worker.metrics import SERVED
from penstock_consumers.worker.sandboxing import policies
from penstock_consumers.worker.settings import WorkerSettings
from penstock_schemas import records as r
from penstock_services.sandbox.canaries import check_tiers
from penstock_services.sandbox.cgroups import prepared_hierarchy
from penstock_services.sandbox.settings import SandboxSettings
from penstock_services.workspaces import Workspaces, reap
from penstock_services.workspaces.names import folder_of

log = logging.getLogger("penstock.worker")

REAP_EVERY_S = 60.0


class Provision:
    """What this worker provides for agents that run commands; nothing where its settings name no tier.

    Args:
        settings: whose tiers it serves.
        sandbox: where the sandboxes are; read once, because every run asks.
    """

    def __init__(self, settings: WorkerSettings, sandbox: SandboxSettings) -> None:
        self._tiers = {queue: settings.tiers_of(queue) for queue in settings.queues}
        self._sandbox = sandbox
        self._workspaces: Workspaces | None = None  # until the sandbox of every tier is seen to hold

    @property
    def folders(self) -> Sequence[Path]:
        """Where its sandboxes' workspaces and their volumes are; none where no command runs here."""
        return () if self._workspaces is None else (self._sandbox.workspaces,)

    def serves(self, queue: str, tier: str) -> bool:
        """Whether commands of that tier run here."""
        if self._workspaces is None:
            return False
        policy = policies(self._sandbox).of(tier)  # an unknown tier has another's
        return policy.tier in self._tiers.get(queue, frozenset())

    async def check(self) -> None:
        """Reap what an earlier worker left, and try the sandbox of every tier.

        Raises:
            SandboxUnavailable: one of them does not hold here; the message says which, why, and what to do.
        """
        tiers = frozenset().union(*self._tiers.values())
        if not tiers:
            return
        await check_tiers(self._sandbox, policies(self._sandbox), tiers)
        workspaces = Workspaces(self._sandbox.workspaces)
        await _reap(workspaces)
        self._workspaces = workspaces
        for queue, served in self._tiers.items():
            for tier in served:
                SERVED(queue, tier).set(1)
        log.info("sandboxes of the tiers %s hold here", ", ".join(sorted(tiers)))

    async def clean_up(self, dispatch: r.ExecutionDispatched, slot_alive: bool) -> None:
        """After a run: remove its workspace, and what a slot that was killed left running."""
        workspaces = self._workspaces
        if workspaces is None:
            return
        if not slot_alive:
            await _reap(workspaces)
        name = folder_of(dispatch.execution_id, dispatch.epoch)
        try:
            if workspaces.has(dispatch.tenant_id, name):  # most runs never made one
                await asyncio.to_thread(workspaces.remove, dispatch.tenant_id, name)
        except SandboxError as exc:  # the run's result does not hang on it; the reaper tries again
            log.error("a workspace stays for now: %s", exc)

    async def reap_for_ever(self) -> None:
        """Remove what other workers' crashes left, once a minute."""
        while True:
            await asyncio.sleep(REAP_EVERY_S)
            if self._workspaces is not None:
                await _reap(self._workspaces)


async def _reap(workspaces: Workspaces) -> None:
    await asyncio.to_thread(reap, prepared_hierarchy(), workspaces)
