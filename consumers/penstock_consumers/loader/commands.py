"""`penstock loader`."""

from __future__ import annotations

import asyncio
import gc
import signal

import typer

from penstock.settings import ClickHouseSettings, KafkaSettings, RegistrySettings
from penstock_consumers.loader.loader import Loader
from penstock_schemas.codec import Codec
from penstock_schemas.registry import SchemaRegistry
from penstock_services.health import serve_health
from penstock_services.logs import configure_logging
from penstock_services.tracing import tracing


def register(app: typer.Typer) -> None:
    """Add `loader` to the command line."""
    app.command("loader")(loader_command)


def loader_command() -> None:
    """Load every event from Kafka into ClickHouse, until SIGTERM."""
    configure_logging()
    collect_seldom()
    asyncio.run(_run())


def collect_seldom() -> None:
    """Let the garbage collector look once per batch: it would walk 200,000 records without cycles again and again.

    Measured: a quarter of the processor time of a load (`bench/loader.py`); memory is the same.
    """
    gc.set_threshold(100_000, 50, 100)


async def _run() -> None:
    async with SchemaRegistry(RegistrySettings().url) as registry:
        loader = Loader(KafkaSettings(), ClickHouseSettings(), Codec(registry))
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, loader.stop)
        with tracing("loader"):
            async with serve_health(loader.hindrance, loader.standings):
                await loader.run()
