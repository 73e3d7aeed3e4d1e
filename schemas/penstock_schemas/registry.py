"""The schema registry as Penstock uses it: subjects per (topic, record), lookups, registration, compatibility.

Subjects follow TopicRecordNameStrategy: `<topic>-<record full name>`, compatibility FULL_TRANSITIVE.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Any, TypeVar

import httpx
from schema_registry.client import AsyncSchemaRegistryClient
from schema_registry.client.errors import ClientError

from penstock_schemas import records as r
from penstock_schemas.avro_files import Schema, schema_of
from penstock_schemas.errors import ContractError, IncompatibleSchema, RegistryUnreachable
from penstock_schemas.topics import Topic

log = logging.getLogger("penstock.registry")

COMPATIBILITY = "FULL_TRANSITIVE"
T = TypeVar("T")


def subject_of(topic: Topic, record_type: type[r.Record]) -> str:
    """The registry subject of `record_type` on `topic`."""
    return f"{topic.name}-{record_type.full_name()}"


def readiness_url(registry_url: str) -> str | None:
    """Where the registry with this Confluent API says whether it has read all its schemas; None where it need not.

    Apicurio answers while it still reads its journal, as if what it has not read yet did not exist: measured, for
    half a second of its start, with as few subjects as ours. Confluent's own registry answers nothing before.
    """
    base, api, _ = registry_url.partition("/apis/ccompat/")
    return f"{base}/health/ready" if api else None


@dataclass(frozen=True, slots=True)
class Registered:
    """One subject after registration."""

    subject: str
    schema_id: int


REGISTERED_AT_ONCE = 8
"""A registry that keeps schemas in Kafka writes one after the other: more would only wait there, and time out."""


class _PooledClient(AsyncSchemaRegistryClient):
    """The library opens a client (and loads the CA bundle) per request; this keeps one."""

    pool: httpx.AsyncClient

    async def request(  # type: ignore[override]
        self,
        url: str,
        method: str = "GET",
        body: Any = None,
        params: Any = None,
        headers: Any = None,
        **_: Any,
    ) -> httpx.Response:
        prepared = self.prepare_headers(body=body, headers=headers)
        return await self.pool.request(method, url, headers=prepared, json=body, params=params)


class SchemaRegistry:
    """A connection to a Confluent-compatible registry. Use as an async context manager.

    Args:
        url: base URL of the Confluent API, such as `http://host:8081/apis/ccompat/v7`.
        timeout_s: for one request.
    """

    def __init__(self, url: str, timeout_s: float = 10.0) -> None:
        self.url = url
        self._client = _PooledClient({"url": url})
        self._client.pool = httpx.AsyncClient(timeout=timeout_s)

    async def __aenter__(self) -> SchemaRegistry:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        await self._client.pool.aclose()

    async def schema_by_id(self, schema_id: int) -> Schema | None:
        """The schema registered under `schema_id`, or None where the registry says it knows none.

        Raises:
            RegistryUnreachable: no answer, a server error, or still starting: says nothing about the id.
        """
        found = await self._look_up(lambda: self._client.get_by_id(schema_id))
        return None if found is None else _raw(found)

    async def id_of(self, topic: Topic, record_type: type[r.Record]) -> int:
        """The id of our own schema under its subject.

        Raises:
            ContractError: not registered yet (`penstock schemas register` does it).
            RegistryUnreachable: no answer, or still starting.
        """
        subject, schema = subject_of(topic, record_type), json.dumps(schema_of(record_type))
        found = await self._look_up(lambda: self._client.check_version(subject, schema))
        if found is None:
            raise ContractError(f"{subject} is not registered in this version; run: penstock schemas register")
        return int(found.schema_id)

    async def register(self, topic: Topic, record_type: type[r.Record]) -> Registered:
        """Register our schema under its subject with FULL_TRANSITIVE compatibility; idempotent.

        Raises:
            IncompatibleSchema: the registry's history does not allow this version.
            RegistryUnreachable: no answer.
        """
        subject, schema = subject_of(topic, record_type), json.dumps(schema_of(record_type))
        await self._set_compatibility(subject)
        try:
            schema_id = await self._ask(lambda: self._client.register(subject, schema))
        except ContractError as exc:
            raise IncompatibleSchema(f"{subject}: the registry refuses this version: {exc}") from exc
        return Registered(subject, int(schema_id))

    async def register_all(self, topics: Iterable[Topic]) -> list[Registered]:
        """Register every record of every one of `topics`, a few at a time; raises like `register`."""
        await self.require_ready()
        gate = asyncio.Semaphore(REGISTERED_AT_ONCE)

        async def one(topic: Topic, record_type: type[r.Record]) -> Registered:
            async with gate:
                return await self.register(topic, record_type)

        return await asyncio.gather(*(one(topic, kind) for topic in topics for kind in topic.records))

    async def versions(self, topic: Topic, record_type: type[r.Record]) -> list[Schema]:
        """Every version the registry holds of a subject, oldest first."""
        subject = subject_of(topic, record_type)
        found: list[Schema] = []
        for number in await self._ask(lambda: self._client.get_versions(subject)):
            version = await self._ask(partial(self._client.get_schema, subject, number))
            if version is not None:
                found.append(_raw(version.schema))
        return found

    async def require_ready(self) -> None:
        """Returns where the registry has read all its schemas; see `readiness_url`.

        Raises:
            RegistryUnreachable: it still reads them, or no answer.
        """
        url = readiness_url(self.url)
        if url is None:
            return
        answer = await self._ask(lambda: self._client.pool.get(url))
        if answer.is_server_error:
            raise RegistryUnreachable(
                f"schema registry at {self.url} is not ready: {url} answered {answer.status_code}"
            )

    async def _look_up(self, call: Callable[[], Awaitable[T | ClientError | None]]) -> T | None:
        """What `call()` finds; that it finds nothing counts only from a registry that was ready before that."""
        found = await self._ask(call)
        if found is None or isinstance(found, ClientError):
            await self.require_ready()
            found = await self._ask(call)
        return None if isinstance(found, ClientError) else found

    async def _set_compatibility(self, subject: str) -> None:
        try:
            await self._ask(lambda: self._client.update_compatibility(level=COMPATIBILITY, subject=subject))
        except ContractError:  # Apicurio refuses the second of two who set it at once
            if await self._ask(lambda: self._client.get_compatibility(subject)) != COMPATIBILITY:
                raise

    async def _ask(self, call: Callable[[], Awaitable[T]]) -> T:
        try:
            return await call()
        except httpx.HTTPError as exc:
            raise RegistryUnreachable(
                f"schema registry at {self.url} did not answer ({type(exc).__name__}: {exc}); "
                "check PENSTOCK_REGISTRY_URL and that the registry runs"
            ) from exc
        except ClientError as exc:
            code = exc.http_code or 0
            if code >= 500 or code in (401, 403, 429):
                raise RegistryUnreachable(f"schema registry at {self.url} answered {code}: {exc}") from exc
            raise ContractError(f"schema registry at {self.url} answered {code}: {exc}") from exc
        except ValueError as exc:  # the library parses any body as JSON, also a proxy's error page
            raise RegistryUnreachable(f"schema registry at {self.url} sent no JSON: {exc}") from exc


async def wait_for_registry(call: Callable[[], Awaitable[T]], *, first_pause_s: float = 0.2) -> T:
    """`call()`, repeated with growing pauses for as long as the registry cannot be reached.

    An outage is waited out, never treated as a fact about a schema.
    """
    pause_s = first_pause_s
    while True:
        try:
            return await call()
        except RegistryUnreachable as exc:
            log.warning("%s; trying again in %.1f s", exc, pause_s)
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, 5.0)


def _raw(found: Any) -> Schema:
    raw = found.raw_schema
    schema: Schema = json.loads(raw) if isinstance(raw, str) else raw
    return schema
