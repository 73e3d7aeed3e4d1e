"""Audits again and again, for Prometheus: `penstock audit --every`."""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from datetime import datetime, timedelta

from penstock.errors import PenstockError
from penstock_services.audit.metrics import DIFFERENCES, FAILED, FINISHED
from penstock_services.health import serve_health

log = logging.getLogger("penstock.audit")

Audit = Callable[[], Awaitable[int]]
"""One audit to its end; the number of differences."""

OPEN_AFTER_END = timedelta(hours=48)
"""Calls may be billed in a month for this long after its end, so both months are recounted."""


def open_months(now: datetime) -> list[str]:
    """The months, YYYY-MM, that calls may still be billed in at `now`."""
    return sorted({when.strftime("%Y-%m") for when in (now - OPEN_AFTER_END, now)})


async def audit_every(every_s: float, audits: Mapping[str, Audit]) -> None:
    """Run `audits`, by what they recount, every `every_s` until SIGTERM or SIGINT.

    Serves health and metrics as `PENSTOCK_HEALTH_*` says. An audit that fails is counted and tried again:
    a server that is away is no difference.
    """
    loop, stopped = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    async with serve_health(lambda: None):
        auditing = asyncio.create_task(_audit_for_ever(every_s, audits))
        stopping = asyncio.create_task(stopped.wait())
        await asyncio.wait([auditing, stopping], return_when=asyncio.FIRST_COMPLETED)
        for task in (auditing, stopping):
            task.cancel()
        with suppress(asyncio.CancelledError):
            await auditing


async def _audit_for_ever(every_s: float, audits: Mapping[str, Audit]) -> None:
    while True:
        await audit_once(audits)
        await asyncio.sleep(every_s)


async def audit_once(audits: Mapping[str, Audit]) -> None:
    """Run each of `audits` and show Prometheus what came of it. What an earlier one found stays shown until the
    same audit has come to an end again."""
    for check, audit in audits.items():
        try:
            differences = await audit()
        except PenstockError as exc:
            FAILED.labels(check).inc()
            log.error("the audit of the %s came to no end: %s", check, exc)
            continue
        DIFFERENCES.labels(check).set(differences)
        FINISHED.labels(check).set(time.time())
        log.log(
            logging.ERROR if differences else logging.INFO, "audit of the %s: %d differences", check, differences
        )
