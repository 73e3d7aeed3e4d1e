"""Each process's own HTTP port: `/healthz` for whoever supervises it, `/metrics` for Prometheus."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from penstock.errors import PortTaken

ReadyProbe = Callable[[], str | None]
"""None while the process does its work; otherwise why it does not."""


def health_port() -> int | None:
    """The port this process was told to serve on (`PENSTOCK_HEALTH_PORT`), or None for no health server."""
    value = os.environ.get("PENSTOCK_HEALTH_PORT")
    return int(value) if value else None


@asynccontextmanager
async def serve_health(probe: ReadyProbe, *, port: int | None, host: str = "127.0.0.1") -> AsyncIterator[None]:
    """Serve `/healthz` (200 `ready`, 503 with the reason) and `/metrics` while the body runs.

    Args:
        probe: asked on every request; must not block.
        port: None serves nothing.

    Raises:
        PortTaken: another process listens there.
    """
    if port is None:
        yield
        return

    async def healthz(_: web.Request) -> web.Response:
        reason = probe()
        return web.Response(text=reason or "ready", status=503 if reason else 200)

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    app = web.Application()
    app.add_routes([web.get("/healthz", healthz), web.get("/metrics", metrics)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as exc:
            raise PortTaken(f"health port {host}:{port} cannot be opened: {exc.strerror}") from exc
        yield
    finally:
        await runner.cleanup()
