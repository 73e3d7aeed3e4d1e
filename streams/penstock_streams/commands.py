"""`penstock streams`."""

from __future__ import annotations

import asyncio
import logging

import typer


def register(app: typer.Typer) -> None:
    """Add `streams` to the command line."""
    app.command("streams")(streams)


def streams() -> None:
    """Run the stages: accounts and executions. Start as many of these as there is work for."""
    import uvloop

    from penstock_streams.main import run

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("aiokafka").setLevel(logging.WARNING)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())
