"""What a task counts, by stage."""

from __future__ import annotations

from prometheus_client import Counter, Histogram

from penstock_services.metrics import Children, count_dead_letters
from penstock_streams.kit.batch import FoldedBatch

_COUNTED = {
    "records": Children(Counter("penstock_stream_records", "Input records folded and committed", ["stage"])),
    "timers_fired": Children(Counter("penstock_stream_timers_fired", "Timers fired and committed", ["stage"])),
    "forwarded": Children(Counter("penstock_stream_forwarded", "Records passed on to their partition", ["stage"])),
}
_written = Children(
    Counter("penstock_stream_written", "Records written and committed, by type", ["stage", "record"])
)
_batch_records = Children(
    Histogram(
        "penstock_stream_batch_records",
        "Input records of one transaction; its count is the transactions",
        ["stage"],
        buckets=(1, 10, 100, 500, 1_000, 2_000, 5_000),
    )
)
_commit_seconds = Children(
    Histogram(
        "penstock_stream_commit_seconds",
        "One transaction from its begin to its commit",
        ["stage"],
        buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
    )
)


def count_batch(stage: str, batch: FoldedBatch, commit_s: float) -> None:
    """Count one committed batch.

    Args:
        commit_s: what its transaction took.
    """
    _batch_records(stage).observe(batch.records)
    _commit_seconds(stage).observe(commit_s)
    for name, children in _COUNTED.items():
        if amount := getattr(batch, name):
            children(stage).inc(amount)
    for record_type, amount in batch.written.items():
        _written(stage, record_type.__name__).inc(amount)
    for code, amount in batch.letters.items():
        count_dead_letters(stage, code, amount)
