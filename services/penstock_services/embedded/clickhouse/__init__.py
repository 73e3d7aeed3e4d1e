"""The ClickHouse engine (chdb) behind the ClickHouse HTTP interface: for development and small installations.

`python -m penstock_services.embedded.clickhouse --path P --port N --password-file F`

It speaks what clickhouse-connect and curl need, so that every other process uses the ordinary HTTP client and
production differs by address only. It has two users, no row policies and no replication, and binds loopback.
"""
