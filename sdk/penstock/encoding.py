"""The codec, with a registry that must answer in bounded time: a caller waits for nothing without end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from penstock.errors import RegistryUnreachable
from penstock_schemas import records as r
from penstock_schemas.codec import Codec, SchemaNotLoaded
from penstock_schemas.registry import SchemaRegistry
from penstock_schemas.topics import Topic


class Encoding:
    """Encodes and decodes for one client.

    Args:
        registry_url: base URL of the Confluent API.
        answer_within_s: how long the registry may keep a call waiting.
    """

    def __init__(self, registry_url: str, answer_within_s: float) -> None:
        self._answer_within_s = answer_within_s
        self._registry = SchemaRegistry(registry_url, timeout_s=answer_within_s)
        self._codec = Codec(self._registry)
        self._writable: set[tuple[str, type[r.Record]]] = set()

    async def close(self) -> None:
        await self._registry.close()

    async def encode(self, topic: Topic, record: r.Record) -> bytes:
        """`record` as bytes for `topic`.

        Raises:
            RegistryUnreachable: no answer in time.
            ContractError: its schema is not registered, or it does not fit.
        """
        kind = (topic.name, type(record))
        if kind not in self._writable:
            async with self._bounded():
                await self._registry.id_of(topic, type(record))  # fails at once where the codec would wait
                await self._codec.prepare_writer(topic, type(record))
            self._writable.add(kind)
        return self._codec.encode(topic.name, record)

    async def decode(self, topic: str, value: bytes | None) -> r.Record:
        """The record in `value`, looking its writer's schema up where it is new.

        Raises:
            UndecodableRecord: poison.
            RegistryUnreachable: no answer in time.
        """
        while True:
            try:
                return self._codec.decode(topic, value)
            except SchemaNotLoaded as exc:
                async with self._bounded():
                    await self._codec.load_schema(exc.schema_id)

    @asynccontextmanager
    async def _bounded(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._answer_within_s):
                yield
        except TimeoutError as exc:
            raise RegistryUnreachable(
                f"schema registry at {self._registry.url} (PENSTOCK_REGISTRY_URL) did not answer "
                f"within {self._answer_within_s:g} s; `penstock up` starts one here"
            ) from exc
