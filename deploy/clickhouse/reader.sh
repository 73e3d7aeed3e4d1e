#!/bin/bash
# Run once, by ClickHouse's own image, when its volume is new: the user of Grafana, who may only read.
set -euo pipefail
password=$(cat /run/secrets/penstock_clickhouse_password)
hash=$(printf %s "$(cat /run/secrets/clickhouse_reader_password)" | sha256sum | cut -d ' ' -f 1)
clickhouse-client --user penstock --password "$password" --multiquery <<SQL
CREATE USER IF NOT EXISTS reader IDENTIFIED WITH sha256_hash BY '$hash' SETTINGS readonly = 2, max_execution_time = 30;
GRANT SELECT ON penstock.* TO reader;
SQL
