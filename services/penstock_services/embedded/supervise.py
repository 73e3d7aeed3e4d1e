"""The supervisor's process: owns the state folder from its start to its end.

    python -m penstock_services.embedded.supervise --state FOLDER --lock-fd N [--servers-only]

`penstock up` starts it with the folder's lock already taken. What a crash costs, in order:
1. Leftovers of an earlier run are gone before `up` hands over; a crash here leaves an empty run.
2. `run.json` names each process as soon as it started. A crash between start and write leaves no orphan: the
   kernel kills every child with the supervisor (`_launch.py`).
3. `stack.env` is there from before the first process until after the last one. A crash leaves it behind; `up`
   replaces it and `down` removes it.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from penstock.errors import DataFolderDamaged, PenstockError
from penstock_services.embedded.addresses import address_settings, publish
from penstock_services.embedded.identity import ProcessIdentity, boot_id
from penstock_services.embedded.jars import java_servers
from penstock_services.embedded.java import find_java
from penstock_services.embedded.lock import FolderLock
from penstock_services.embedded.run_file import Failure, Identity, RunReport
from penstock_services.embedded.stack import embedded_stack
from penstock_services.embedded.state import StateFolder
from penstock_services.embedded.supervisor import Supervisor

Observer = Callable[[RunReport], None]


async def supervise(folder: StateFolder, *, servers_only: bool, observe: Observer = lambda report: None) -> None:
    """Run the stack of `folder` until SIGTERM, SIGINT or SIGHUP. The caller holds the folder's lock.

    Args:
        observe: called with the report after each change, beside writing it to `run.json`.

    Raises:
        PenstockError: the stack could not start; everything was stopped, and `run.json` says the same.
    """
    layout = folder.layout()
    if layout is None:
        raise DataFolderDamaged(f"{folder.path} has no {folder.layout_file.name}; `penstock up` makes it")
    addresses = address_settings(folder, layout)
    stack = embedded_stack(folder, layout, addresses, find_java(), java_servers(), servers_only=servers_only)
    report = RunReport(supervisor=_own_identity(), boot_id=boot_id(), started_at_s=time.time())

    def publish_report() -> None:
        report.write(folder.run_file)
        observe(report)

    stop = asyncio.Event()
    for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(signum, stop.set)
    publish(folder, addresses)
    try:
        await Supervisor(stack, report, publish_report).run(stop)
    except PenstockError as exc:
        report.phase, report.failure = "failed", Failure(error=type(exc).__name__, message=str(exc))
        publish_report()
        raise
    else:
        folder.run_file.unlink(missing_ok=True)
    finally:
        folder.stack_env.unlink(missing_ok=True)


def _own_identity() -> Identity:
    own = ProcessIdentity.of(os.getpid())
    assert own is not None
    return Identity.of(own)


def main() -> int:
    """The detached supervisor. Its standard output and error are `logs/supervisor.log`."""
    parser = argparse.ArgumentParser(prog="penstock-supervisor", description=__doc__)
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--lock-fd", type=int, required=True)
    parser.add_argument("--servers-only", action="store_true")
    options = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("penstock.supervisor").setLevel(logging.INFO)
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # the probes' own words say the same, once
    FolderLock.inherited(options.lock_fd)  # held until this process ends, whatever ends it
    try:
        asyncio.run(supervise(StateFolder(options.state), servers_only=options.servers_only))
    except PenstockError as exc:
        print(f"{type(exc).__name__}: {exc}", file=sys.stderr)
        return exc.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
