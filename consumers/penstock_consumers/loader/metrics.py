"""What a loader counts for Prometheus."""

from __future__ import annotations

from prometheus_client import Counter, Histogram

from penstock_services.metrics import Children

ROWS = Children(Counter("penstock_loader_rows", "Rows inserted", ["table"]))
BATCH_ROWS = Histogram(
    "penstock_loader_batch_records",
    "Records of one batch",
    buckets=(1, 10, 100, 1_000, 10_000, 50_000, 100_000),
)
INSERT_SECONDS = Histogram("penstock_loader_insert_seconds", "Inserts of one batch")
COMMIT_SECONDS = Histogram("penstock_loader_commit_seconds", "Commit of one batch's offsets")
