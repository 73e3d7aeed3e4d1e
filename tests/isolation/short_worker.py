"""A worker's life in short: `python -m tests.isolation.short_worker FOLDER RUNS [network]`.

It says `making`, makes a workspace in the folder, says `running`, runs that many commands and removes it all; with
0 runs its one command would run for a minute, so that it is killed within it. With `network` its commands have
one.
"""

from __future__ import annotations

import asyncio
import os
import sys
from dataclasses import replace
from pathlib import Path

from penstock_services.sandbox import Sandbox
from penstock_services.sandbox.policies import load_policies
from penstock_services.sandbox.runtime import Runtime
from penstock_services.workspaces import Workspaces
from tests.isolation.place import QUOTA_BYTES

FIRST_UID, UIDS = 2_000_064_500, 1_000
"""Apart from those of the corpus itself."""

LONG = "echo started > started; (setsid sleep 60 &) ; sleep 60"
SHORT = "echo written > file; (setsid sleep 60 > /dev/null 2>&1 &) ; true"


async def live(folder: Path, runs: int, network: bool) -> None:
    workspaces = Workspaces(folder / "workspaces")
    uid = FIRST_UID + os.getpid() % UIDS
    tenant = f"tenant-{os.getpid()}"
    print("making", flush=True)
    workspace = workspaces.create(tenant, "execution", quota_bytes=QUOTA_BYTES, uid=uid)
    policy = replace(load_policies()["enterprise" if network else "free"], network=network)
    sandbox = Sandbox(policy, workspace.path, uid, runtime=Runtime(folder / "runtime"))
    if not runs:
        running = asyncio.ensure_future(sandbox.run(["/bin/sh", "-c", LONG]))
        while not (workspace.path / "started").exists() and not running.done():
            await asyncio.sleep(0.002)
        print("running", flush=True)
        await running
    for _ in range(runs):
        outcome = await sandbox.run(["/bin/sh", "-c", SHORT])
        assert outcome.succeeded, outcome
    workspaces.remove(tenant, "execution")


if __name__ == "__main__":
    asyncio.run(live(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:] == ["network"]))
