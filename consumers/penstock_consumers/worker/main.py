"""The worker's process: signals, health, and its exit."""

from __future__ import annotations

import asyncio
import logging
import signal

from penstock.errors import PenstockError
from penstock.settings import ArtifactSettings, KafkaSettings, RegistrySettings
from penstock_consumers.worker.settings import WorkerSettings
from penstock_consumers.worker.worker import Worker
from penstock_services.health import health_port, serve_health

log = logging.getLogger("penstock.worker")


async def run_worker(settings: WorkerSettings) -> None:
    """Serve until SIGTERM or SIGINT, then drain; a second signal ends the process at once.

    Raises:
        PenstockError: as `Worker.serve`.
    """
    worker = Worker(settings, KafkaSettings(), RegistrySettings(), ArtifactSettings())
    loop = asyncio.get_running_loop()

    def stop() -> None:
        log.info("draining for up to %g s; a second signal ends the worker at once", settings.drain_s)
        worker.drain()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    log.info(
        "worker %s serves %s with %d slots", worker.worker_id, ", ".join(settings.queues), settings.concurrency
    )
    async with serve_health(worker.not_ready, port=health_port()):
        try:
            await worker.serve()
        except* PenstockError as group:
            raise first_of(group) from group
    log.info("worker %s stopped", worker.worker_id)


def first_of(group: BaseExceptionGroup[PenstockError]) -> PenstockError:
    """The error that ended the worker; the others in the group are its consequences."""
    found: BaseException = group
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    assert isinstance(found, PenstockError)
    return found
