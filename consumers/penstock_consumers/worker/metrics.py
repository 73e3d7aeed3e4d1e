"""What a worker counts for Prometheus."""

from __future__ import annotations

from prometheus_client import Counter

ATTEMPTS = Counter("penstock_worker_attempts_total", "Granted attempts by how they ended here.", ["status"])
