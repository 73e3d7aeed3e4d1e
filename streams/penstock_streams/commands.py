"""`penstock streams`."""

from __future__ import annotations

import asyncio

import typer


def register(app: typer.Typer) -> None:
    """Add `streams` to the command line."""
    app.command("streams")(streams)


def streams() -> None:
    """Run the stages; start as many as there is work for.

    Accounts, executions, conversations and pipelines share the partitions of one group.
    """
    import uvloop

    from penstock_services.logs import configure_logging
    from penstock_streams.main import run

    configure_logging()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())
