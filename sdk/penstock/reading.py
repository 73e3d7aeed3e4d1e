"""Answers from ClickHouse: executions, tenants, prices, dead letters."""

from __future__ import annotations

import asyncio
from base64 import b64decode
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from penstock.arguments import ListArguments
from penstock.errors import ClickHouseUnreachable, NotFound
from penstock.models import DeadLetterEntry, Execution, Price, ReportedCall, Tenant, UnresolvedCall
from penstock.settings import ClickHouseSettings
from penstock_schemas.records.accounts import COUNTS

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

Row = dict[str, Any]
NOT_MIGRATED = (60, 81)
"""ClickHouse's error codes for an unknown table and an unknown database."""


class Reading:
    """One client's connection to ClickHouse; made on first use.

    Args:
        settings: address and credentials.
        answer_within_s: how long ClickHouse may keep a query waiting.
    """

    def __init__(self, settings: ClickHouseSettings, answer_within_s: float) -> None:
        self._settings = settings
        self._answer_within_s = answer_within_s
        self._client: Client | None = None
        self._connecting = asyncio.Lock()

    async def close(self) -> None:
        if self._client is not None:
            await asyncio.to_thread(self._client.close)

    async def executions(self, wanted: ListArguments) -> Sequence[Execution]:
        """Executions, newest first."""
        rows = await self.rows(
            """
            SELECT * FROM v_executions
            WHERE (tenant_id = {tenant:String} OR {tenant:String} = '')
              AND (status = {status:String} OR {status:String} = '')
            ORDER BY requested_at DESC, execution_id
            LIMIT {limit:UInt32}
            """,
            {"tenant": wanted.tenant or "", "status": wanted.status or "", "limit": wanted.limit},
        )
        return [_execution(row) for row in rows]

    async def cost_nanousd(self, execution_id: str) -> int:
        """What has been charged for one execution so far."""
        (row,) = await self.rows(
            "SELECT sum(cost_nanousd) AS cost FROM ledger FINAL WHERE execution_id = {id:String}",
            {"id": execution_id},
        )
        return int(row["cost"])

    async def tenants(self) -> Sequence[Tenant]:
        """Every configured tenant, by name."""
        return [
            Tenant.model_validate(row) for row in await self.rows("SELECT * FROM v_tenants ORDER BY tenant_id")
        ]

    async def unresolved_calls(self, tenant: str | None) -> Sequence[UnresolvedCall]:
        """Calls that were started and never reported, oldest first."""
        where = "" if tenant is None else "WHERE tenant_id = {tenant:String}"
        query = f"SELECT * FROM v_usage_unresolved {where} ORDER BY occurred_at, usage_id"
        return [UnresolvedCall.model_validate(row) for row in await self.rows(query, {"tenant": tenant or ""})]

    async def reported_calls(self, usage_id: str, tenant: str | None) -> Sequence[ReportedCall]:
        """The calls of that id, one per tenant that has one: as charged so far, or as quarantined."""
        rows = await self.rows(_REPORTED_CALLS, {"usage_id": usage_id, "tenant": tenant or ""})
        return [ReportedCall.model_validate(row) for row in rows]

    async def prices(self) -> Sequence[Price]:
        """Every price an operator listed, by model and effective date."""
        rows = await self.rows("SELECT *, price_version AS version FROM v_prices ORDER BY model, effective_from")
        return [Price.model_validate(row) for row in rows]

    async def dead_letters(self, limit: int) -> Sequence[DeadLetterEntry]:
        """Dead letters, newest first."""
        return await self._dead_letters("ORDER BY occurred_at DESC LIMIT {limit:UInt32}", {"limit": limit})

    async def dead_letter(self, event_id: str) -> DeadLetterEntry:
        """One dead letter by its id.

        Raises:
            NotFound: there is none.
        """
        found = await self._dead_letters("WHERE event_id = {id:String} LIMIT 1", {"id": event_id})
        if not found:
            raise NotFound(f"no dead letter {event_id!r} is loaded; `penstock dlq list` shows those that are")
        return found[0]

    async def rows(self, query: str, parameters: Mapping[str, Any] | None = None) -> list[Row]:
        """The rows of `query` by column name.

        Raises:
            ClickHouseUnreachable: no answer in time, or it cannot answer.
        """
        from clickhouse_connect.driver.exceptions import ClickHouseError

        try:
            client = await self._connected()
            result = await asyncio.to_thread(client.query, query, parameters=dict(parameters or {}))
        except (ClickHouseError, OSError) as exc:
            raise self._unreachable(exc) from exc
        return list(result.named_results())

    async def _dead_letters(self, which: str, parameters: Mapping[str, Any]) -> Sequence[DeadLetterEntry]:
        # Bytes travel as base64: the client decodes String columns as text where it can.
        query = f"""
            SELECT * REPLACE (
                base64Encode(key) AS key,
                base64Encode(value) AS value,
                mapApply((name, bytes) -> (name, base64Encode(bytes)), headers) AS headers)
            FROM v_dead_letters {which}
        """
        return [
            DeadLetterEntry.model_validate(
                row
                | {name: None if row[name] is None else b64decode(row[name]) for name in ("key", "value")}
                | {"headers": {name: b64decode(text) for name, text in row["headers"].items()}}
            )
            for row in await self.rows(query, parameters)
        ]

    async def _connected(self) -> Client:
        async with self._connecting:
            if self._client is None:
                self._client = await asyncio.to_thread(self._connect)
            return self._client

    def _connect(self) -> Client:
        import clickhouse_connect

        return clickhouse_connect.get_client(
            host=self._settings.host,
            port=self._settings.port,
            username=self._settings.user,
            password=self._settings.password.get_secret_value(),
            database=self._settings.database,
            secure=self._settings.secure,
            tz_mode="aware",  # a time without its zone would be taken for the reader's
            autogenerate_session_id=False,  # a session would forbid two queries at once
            connect_timeout=int(self._answer_within_s) or 1,
            send_receive_timeout=int(self._answer_within_s) or 1,
        )

    def _unreachable(self, cause: Exception) -> ClickHouseUnreachable:
        from clickhouse_connect.driver.exceptions import OperationalError

        where = f"ClickHouse at {self._settings.host}:{self._settings.port} (PENSTOCK_CLICKHOUSE_HOST and _PORT)"
        if getattr(cause, "code", None) in NOT_MIGRATED:
            return ClickHouseUnreachable(
                f"{where} has no schema in {self._settings.database!r}; run: penstock clickhouse migrate"
            )
        if isinstance(cause, OperationalError):  # its text is a page about a pool of connections
            return ClickHouseUnreachable(f"{where} does not answer; `penstock up` starts one here")
        first_line = (str(cause).splitlines() or [type(cause).__name__])[0]
        return ClickHouseUnreachable(f"{where} could not answer: {first_line[:300]}")


_CALL = """
    tenant_id, usage_id, nullIf(execution_id, '') AS execution_id, epoch, call_seq, user_id, agent_type, model
"""
_REPORTED_CALLS = f"""
    SELECT {_CALL}, {", ".join(f"sum(l.{name}) AS {name}" for name in COUNTS)}
    FROM ledger AS l FINAL
    WHERE usage_id = {{usage_id:String}} AND ({{tenant:String}} IN ('', tenant_id))
    GROUP BY ALL
    UNION ALL
    SELECT {_CALL}, {", ".join(COUNTS)}
    FROM v_usage_quarantined
    WHERE usage_id = {{usage_id:String}} AND ({{tenant:String}} IN ('', tenant_id))
"""


def _execution(row: Row) -> Execution:
    present = {name: value for name, value in row.items() if value is not None}  # the model has its own defaults
    for ref in ("output_ref", "artifacts_ref"):
        if row[f"{ref}_sha256"]:
            present[ref] = {name: row[f"{ref}_{name}"] for name in ("sha256", "size", "uri")}
    return Execution.model_validate(present)
