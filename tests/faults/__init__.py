"""The fault harness: whole processes under faults, judged by what Kafka and ClickHouse then hold."""
