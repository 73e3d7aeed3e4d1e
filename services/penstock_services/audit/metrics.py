"""What a standing audit tells Prometheus."""

from __future__ import annotations

from prometheus_client import Counter, Gauge

DIFFERENCES = Gauge(
    "penstock_audit_differences", "Differences the last audit found, by what it recounted", ["check"]
)
FINISHED = Gauge(
    "penstock_audit_finished_timestamp_seconds", "When the last audit that came to an end did so", ["check"]
)
FAILED = Counter("penstock_audit_failed", "Audits that came to no end: a server away, or records gone", ["check"])
