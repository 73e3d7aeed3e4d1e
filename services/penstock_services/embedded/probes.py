"""Is a server doing its work? Each probe gives None if so, otherwise the reason in a few words."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import aiohttp
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError

HealthProbe = Callable[[], Awaitable[str | None]]

PROBE_TIMEOUT_S = 3.0


def http_probe(url: str, *, expected_body: str | None = None) -> HealthProbe:
    """Healthy when `url` answers 200, with `expected_body` in the answer where one is given."""

    async def probe() -> str | None:
        timeout = aiohttp.ClientTimeout(total=PROBE_TIMEOUT_S)
        try:
            async with aiohttp.ClientSession(timeout=timeout) as session, session.get(url) as answer:
                body = await answer.text(errors="replace")
        except TimeoutError:
            return f"{url} did not answer within {PROBE_TIMEOUT_S:.0f} s"
        except (aiohttp.ClientError, OSError):
            return f"{url} does not answer"
        if answer.status != 200:
            return f"{url} answers {answer.status}: {body.strip()[:200]}"
        if expected_body is not None and expected_body not in body:
            return f"{url} answers {body.strip()[:80]!r} instead of {expected_body!r}"
        return None

    return probe


def kafka_probe(bootstrap: str, *, itself: bool = False) -> HealthProbe:
    """Healthy when the broker at `bootstrap` (host:port) answers and knows of registered brokers.

    Args:
        itself: one of them must be this one, by the address that it was asked at.
    """
    host, _, port = bootstrap.rpartition(":")

    async def probe() -> str | None:
        try:  # first a bare connection: aiokafka logs an error for every refused one
            _, writer = await asyncio.wait_for(asyncio.open_connection(host, int(port)), PROBE_TIMEOUT_S)
        except (OSError, TimeoutError):
            return f"nothing listens on {bootstrap}"
        writer.close()
        client = AIOKafkaClient(bootstrap_servers=bootstrap, request_timeout_ms=int(PROBE_TIMEOUT_S * 1000))
        try:
            await asyncio.wait_for(client.bootstrap(), PROBE_TIMEOUT_S)
            ports = {broker.port for broker in client.cluster.brokers()}
            registered = int(port) in ports if itself else bool(ports)
            return None if registered else "the broker is not registered yet"
        except (KafkaError, OSError, TimeoutError) as exc:
            return f"the broker at {bootstrap} does not serve yet ({type(exc).__name__})"
        finally:
            await client.close()

    return probe
