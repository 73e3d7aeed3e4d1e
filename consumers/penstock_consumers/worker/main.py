"""The worker's process: signals, health, and its exit."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable, Iterator

from penstock.errors import PenstockError
from penstock.settings import ArtifactSettings, KafkaSettings, RegistrySettings
from penstock_consumers.worker.settings import WorkerSettings
from penstock_consumers.worker.worker import Worker
from penstock_services.health import serve_health
from penstock_services.tracing import tracing

log = logging.getLogger("penstock.worker")


async def run_worker(settings: WorkerSettings) -> None:
    """Serve until SIGTERM or SIGINT, then drain; a second signal ends the process at once.

    Raises:
        PenstockError: as `Worker.serve`.
    """
    worker = Worker(settings, KafkaSettings(), RegistrySettings(), ArtifactSettings())
    queues = ", ".join(settings.queues)
    log.info("worker %s serves %s with %d slots", worker.worker_id, queues, settings.concurrency)
    with tracing("worker"):
        await _serve(worker, settings.drain_s)
    log.info("worker %s stopped", worker.worker_id)


async def _serve(worker: Worker, drain_s: float) -> None:
    async with serve_health(worker.not_ready, worker.standings):
        serving = asyncio.create_task(worker.serve())
        _on_signal(lambda: _stop(worker, serving, drain_s))
        await asyncio.wait([serving])
    if not serving.cancelled():
        try:
            serving.result()
        except BaseExceptionGroup as group:
            raise cause_of(group) from group


def _on_signal(act: Callable[[], None]) -> None:
    loop, signals = asyncio.get_running_loop(), (signal.SIGTERM, signal.SIGINT)

    def once() -> None:
        for number in signals:
            loop.remove_signal_handler(number)
        act()

    for number in signals:
        loop.add_signal_handler(number, once)


def _stop(worker: Worker, serving: asyncio.Task[None], drain_s: float) -> None:
    if worker.starting:  # it may wait for Kafka or the registry; there is nothing to drain yet
        serving.cancel()
    else:
        log.info("draining for up to %g s; a second signal ends the worker at once", drain_s)
        worker.drain()


def cause_of(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Why the worker ended: the first error raised on purpose, else the first one; the rest follow from it."""
    leaves = list(_leaves(group))
    return next((leaf for leaf in leaves if isinstance(leaf, PenstockError)), leaves[0])


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error
