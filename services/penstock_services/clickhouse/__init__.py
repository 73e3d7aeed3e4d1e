"""ClickHouse from the outside: connecting, and applying the schema of `penstock_schemas/clickhouse`."""

from penstock_services.clickhouse.client import connect, unreachable
from penstock_services.clickhouse.migrate import migrate

__all__ = ["connect", "migrate", "unreachable"]
