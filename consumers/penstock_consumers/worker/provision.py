"""The supervisor's side of the sandbox: tried at start, cleaned up after each run, reaped after crashes."""

from __future__ import annotations

import asyncio
import logging

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
    """

    def __init__(self, settings: WorkerSettings) -> None:
        self._tiers = {queue: settings.tiers_of(queue) for queue in settings.queues}
        self._ready = False

    def serves(self, queue: str, tier: str) -> bool:
        """Whether commands of that tier run here."""
        if not self._ready:
            return False
        policy = policies(SandboxSettings()).of(tier)  # an unknown tier has another's
        return policy.tier in self._tiers.get(queue, frozenset())

    async def check(self) -> None:
        """Reap what an earlier worker left, and try the sandbox of every tier.

        Raises:
            SandboxUnavailable: one of them does not hold here; the message says which, why, and what to do.
        """
        tiers = frozenset().union(*self._tiers.values())
        if not tiers:
            return
        settings = SandboxSettings()
        await check_tiers(settings, policies(settings), tiers)
        await self._reap()
        self._ready = True
        for queue, served in self._tiers.items():
            for tier in served:
                SERVED(queue, tier).set(1)
        log.info("sandboxes of the tiers %s hold here", ", ".join(sorted(tiers)))

    async def clean_up(self, dispatch: r.ExecutionDispatched, slot_alive: bool) -> None:
        """After a run: remove its workspace, and what a slot that was killed left running."""
        if not self.serves(dispatch.queue, dispatch.tier):
            return
        if not slot_alive:
            await self._reap()
        workspaces = Workspaces(SandboxSettings().folder / "workspaces")
        try:
            name = folder_of(dispatch.execution_id, dispatch.epoch)
            await asyncio.to_thread(workspaces.remove, dispatch.tenant_id, name)
        except SandboxError as exc:  # the run's result does not hang on it; the reaper tries again
            log.error("a workspace stays for now: %s", exc)

    async def reap_for_ever(self) -> None:
        """Remove what other workers' crashes left, once a minute."""
        while True:
            await asyncio.sleep(REAP_EVERY_S)
            if self._ready:
                await self._reap()

    async def _reap(self) -> None:
        workspaces = Workspaces(SandboxSettings().folder / "workspaces")
        await asyncio.to_thread(reap, prepared_hierarchy(), workspaces)
