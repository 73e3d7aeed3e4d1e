"""The health port's settings, and two processes that want one port. What it says: tests/kit/test_health.py."""

from __future__ import annotations

import aiohttp
import pytest

from penstock.errors import InvalidInput, PortTaken
from penstock_services.embedded.ports import free_ports
from penstock_services.health import HealthSettings, serve_health


def test_without_a_port_nothing_is_served(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENSTOCK_HEALTH_PORT", "")
    assert HealthSettings().port is None
    monkeypatch.delenv("PENSTOCK_HEALTH_PORT")
    assert HealthSettings().port is None


@pytest.mark.parametrize("name", ["PORT", "STALLED_AFTER_S"])
def test_a_value_that_cannot_be_used_is_refused_by_its_name(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(f"PENSTOCK_HEALTH_{name}", "-1")
    with pytest.raises(InvalidInput, match=f"PENSTOCK_HEALTH_{name} '-1'"):
        HealthSettings()


async def test_a_port_that_is_taken_is_named() -> None:
    (number,) = free_ports(1)
    settings = HealthSettings(port=number)
    async with serve_health(lambda: None, settings=settings):
        with pytest.raises(PortTaken, match=f"health port 127.0.0.1:{number} cannot be opened"):
            async with serve_health(lambda: None, settings=settings):
                pass


@pytest.mark.parametrize(("reason", "shown"), [(None, "1.0"), ("waits for the registry", "0.0")])
async def test_prometheus_is_shown_whether_the_process_does_its_work(reason: str | None, shown: str) -> None:
    (number,) = free_ports(1)
    url = f"http://127.0.0.1:{number}/metrics"
    async with (
        serve_health(lambda: reason, settings=HealthSettings(port=number)),
        aiohttp.ClientSession() as http,
        http.get(url) as answer,
    ):
        assert f"penstock_ready {shown}" in (await answer.text()).splitlines()
