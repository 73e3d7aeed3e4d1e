"""`penstock worker`."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import typer


def register(app: typer.Typer) -> None:
    """Add `worker` to the command line."""
    app.command("worker")(worker)


def worker(
    queue: Annotated[list[str] | None, typer.Option("--queue", "-q", help="A queue to serve; repeatable.")] = None,
    concurrency: Annotated[int | None, typer.Option(min=1, help="Attempts at a time.")] = None,
    drain_s: Annotated[float | None, typer.Option(min=0, help="How long runs may go on after SIGTERM.")] = None,
) -> None:
    """Run agents, each attempt in a process of its own."""
    import uvloop

    from penstock_consumers.worker.main import run_worker
    from penstock_consumers.worker.settings import WorkerSettings
    from penstock_services.logs import configure_logging

    configure_logging()
    given: dict[str, Any] = {"queues": queue and tuple(queue), "concurrency": concurrency, "drain_s": drain_s}
    settings = WorkerSettings(**{name: value for name, value in given.items() if value is not None})
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run_worker(settings))
