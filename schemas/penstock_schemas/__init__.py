"""The contract: Avro records, Kafka topics, ClickHouse tables, the codec between them. Imports nothing of ours."""
