"""Whether the registry would take today's contract: its own verdict, with the field named where we can name it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from urllib.parse import quote

import httpx

from penstock.errors import RegistryUnreachable
from penstock_schemas import records as r
from penstock_schemas.avro_files import schema_of
from penstock_schemas.compatibility import Break, breaks_between
from penstock_schemas.registry import SchemaRegistry, subject_of
from penstock_schemas.topics import Topic

REQUESTS_AT_ONCE = 8
NOT_FOUND = 404


async def registry_breaks(registry_url: str, topics: Iterable[Topic]) -> list[Break]:
    """Why the registry's versions of any subject of `topics` and today's schema exclude each other.

    A subject that is not registered yet breaks nothing.

    Raises:
        RegistryUnreachable: no answer, or still starting.
    """
    gate = asyncio.Semaphore(REQUESTS_AT_ONCE)
    async with SchemaRegistry(registry_url) as registry, httpx.AsyncClient(base_url=registry_url) as http:
        await registry.require_ready()

        async def of_subject(topic: Topic, record_type: type[r.Record]) -> list[Break]:
            async with gate:
                refusal = await _refusal(http, subject_of(topic, record_type), record_type)
                if refusal is None:
                    return []
                versions = await registry.versions(topic, record_type)
                named = [b for old in versions for b in breaks_between(old, schema_of(record_type))]
                return named or [Break(subject_of(topic, record_type), f"the registry refuses it: {refusal}")]

        found = await asyncio.gather(*(of_subject(t, kind) for t in topics for kind in t.records))
    return list(dict.fromkeys(b for breaks in found for b in breaks))


async def _refusal(http: httpx.AsyncClient, subject: str, record_type: type[r.Record]) -> str | None:
    """What the registry has against the schema under `subject`; None where nothing."""
    path = f"compatibility/subjects/{quote(subject, safe='')}/versions/latest"
    body = {"schema": json.dumps(schema_of(record_type)), "schemaType": "AVRO"}
    try:
        answer = await http.post(path, params={"verbose": "true"}, json=body)
        if answer.status_code == NOT_FOUND:
            return None
        answer.raise_for_status()
        verdict = answer.json()
    except (httpx.HTTPError, ValueError) as exc:
        raise RegistryUnreachable(
            f"schema registry at {http.base_url} (PENSTOCK_REGISTRY_URL) did not judge {subject}: {exc!r}"
        ) from exc
    return None if verdict["is_compatible"] else "; ".join(map(str, verdict.get("messages") or ["incompatible"]))
