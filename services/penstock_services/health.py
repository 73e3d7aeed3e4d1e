"""Each process's own HTTP port: `/healthz/live` and `/healthz/ready` for whoever supervises it, `/metrics` for
Prometheus."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, Gauge, generate_latest
from pydantic import Field, PositiveFloat
from pydantic_settings import SettingsConfigDict

from penstock.errors import PortTaken
from penstock.settings import Settings
from penstock_services.consuming import StallWatch, Standings, lag_shown

ReadyProbe = Callable[[], str | None]
"""None while the process does its work; otherwise why it does not."""

_ready = Gauge("penstock_ready", "1 while the process does its work, 0 while /healthz/ready says why it does not")


class HealthSettings(Settings):
    """From `PENSTOCK_HEALTH_*`."""

    model_config = SettingsConfigDict(env_prefix="PENSTOCK_HEALTH_", env_ignore_empty=True)

    port: int | None = Field(default=None, ge=0, lt=65_536)
    """None serves nothing."""
    host: str = "127.0.0.1"
    """In a container, where others probe and scrape, 0.0.0.0."""
    stalled_after_s: PositiveFloat = 60.0
    """An input partition with lag that does not move for this long makes the process not ready."""


@asynccontextmanager
async def serve_health(
    probe: ReadyProbe, standings: Standings = lambda: (), settings: HealthSettings | None = None
) -> AsyncIterator[None]:
    """Serve health and metrics while the body runs.

    - `/healthz/live`: 200 as long as the event loop turns.
    - `/healthz/ready`, `/healthz`: 200 `ready`; 503 with the reason where `probe` has one or consumption stalls.
    - `/metrics`: everything this process counts, and its lag.

    Args:
        probe: asked on every request; must not block.
        standings: of every input partition; likewise.
        settings: from the environment if left out.

    Raises:
        PortTaken: another process listens there.
    """
    settings = settings or HealthSettings()
    if settings.port is None:
        yield
        return
    watch = StallWatch(settings.stalled_after_s)

    async def live(_: web.Request) -> web.Response:
        return web.Response(text="alive")

    def hindrance() -> str | None:
        stalled = watch.stalled(standings())  # also while there is another reason, so that its time counts
        return probe() or stalled

    async def ready(_: web.Request) -> web.Response:
        reason = hindrance()
        return web.Response(text=reason or "ready", status=503 if reason else 200)

    async def metrics(_: web.Request) -> web.Response:
        _ready.set(0 if hindrance() else 1)
        return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    app = web.Application()
    app.add_routes([web.get("/healthz/live", live), web.get("/metrics", metrics)])
    app.add_routes([web.get(path, ready) for path in ("/healthz", "/healthz/ready")])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, settings.host, settings.port).start()
        except OSError as exc:
            raise PortTaken(
                f"health port {settings.host}:{settings.port} cannot be opened: {exc.strerror}"
            ) from exc
        with lag_shown(standings):
            yield
    finally:
        await runner.cleanup()
