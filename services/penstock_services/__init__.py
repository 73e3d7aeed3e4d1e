"""What runs beside the streams: the embedded stack, pricing, ClickHouse administration, audit, topic creation."""
