"""clickhouse-connect's own tests against the embedded ClickHouse: `scripts/clickhouse-connect-suite`."""
