"""The main program of a process that runs stages: until a signal, or an error that only a new process cures."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Callable, Sequence
from typing import NoReturn

from penstock.errors import PenstockError
from penstock.settings import KafkaSettings
from penstock_schemas.codec import Codec
from penstock_services.health import serve_health
from penstock_services.tracing import tracing
from penstock_streams.kit.api import Stage
from penstock_streams.kit.runner import StageRunner
from penstock_streams.kit.settings import StreamsSettings

log = logging.getLogger("penstock.streams")

CRASH_EXIT_CODE = 70


async def run_stages(
    stages: Sequence[Stage],
    settings: StreamsSettings,
    codec: Codec,
    *,
    kafka: KafkaSettings | None = None,
    clock: Callable[[], int] | None = None,
) -> None:
    """Run `stages` until SIGTERM or SIGINT; the main program of a streams process (on uvloop).

    Serves health and metrics, and exports spans, as `PENSTOCK_HEALTH_*` and `OTEL_*` say.

    Crash-only: an error in a running task ends the process at once, with exit code 70 and its reason in the
    log. Errors before that are raised, as by `StageRunner`.
    """
    loop, stopped = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    runner = StageRunner(stages, settings, codec, kafka=kafka, clock=clock)
    running = asyncio.create_task(_run(runner))
    stop = asyncio.create_task(stopped.wait())
    await asyncio.wait([running, stop], return_when=asyncio.FIRST_COMPLETED)
    if running.done():
        stop.cancel()
        return running.result()
    running.cancel()  # also while it still waits for the registry
    await asyncio.wait([running])
    return None


async def _run(runner: StageRunner) -> None:
    with tracing("streams"):
        async with serve_health(runner.ready, runner.standings), runner:
            _crash(await runner.wait_for_failure())


def _crash(error: BaseException) -> NoReturn:
    """End without cleaning up: what is open is fenced and aborted by the next owner, what is committed stays."""
    expected = isinstance(error, PenstockError)
    log.critical("stopping: %s: %s", type(error).__name__, error, exc_info=None if expected else error)
    logging.shutdown()
    os._exit(CRASH_EXIT_CODE)
