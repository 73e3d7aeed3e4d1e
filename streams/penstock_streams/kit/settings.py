"""Settings of the process that runs stages."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from penstock.settings import Settings, state_folder

Seconds = Annotated[float, Field(gt=0)]


class StreamsSettings(Settings):
    """`PENSTOCK_STREAMS_*`. Processes that share the work share `app_id` and differ in `data_dir`."""

    model_config = SettingsConfigDict(env_prefix="PENSTOCK_STREAMS_")

    app_id: str = "penstock"
    """Names the consumer group, the changelog topics and the transactional ids. Never change it under data."""
    store: Literal["memory", "rocksdb"] = "rocksdb"
    """Where rows lie while a task runs. Both are rebuilt from the changelog; rocksdb starts from what it has."""
    data_dir: Path = Field(default_factory=lambda: state_folder() / "streams")
    """Folder of the rocksdb store; one process at a time."""
    store_memory_mib: Annotated[int, Field(ge=8)] = 64
    """Block cache and write buffers of all rocksdb stores of the process. More means fewer and larger files."""
    max_batch_records: Annotated[int, Field(ge=1)] = 5_000
    """Records per transaction under load. More write each row once for more of its changes (2,000 → 5,000: 29k →
    33k events/s in `make bench`); folding this many takes the event loop for about 150 ms."""
    max_batch_bytes: Annotated[int, Field(ge=1)] = 8 * 1024 * 1024
    """Encoded outputs and rows after which a batch ends, which bounds memory."""
    session_timeout_s: Annotated[float, Field(ge=1, le=60)] = 6.0
    """How soon a dead process's partitions move. Brokers refuse less than their `group.min.session.timeout.ms`
    (6 s by default)."""
    transaction_timeout_s: Seconds = 10.0
    """How long a stopped process's open transaction may pin the readers of its outputs."""
    heartbeat_s: Seconds = 5.0
    """How often holders of leases report. With the transaction timeout and the brokers' scan for expired
    transactions it must fit into each stage's grace, or a stopped process could hide heartbeats too long."""
    producer_renewal_records: Annotated[int, Field(ge=1, lt=1 << 31)] = 1 << 30
    """Records on one partition after which a task starts a new producer: aiokafka's sequence number overflows at
    2^31, and everything after that fails."""
    delete_retention_s: Seconds = 7 * 86_400.0
    """How long a changelog keeps tombstones. A rocksdb folder older than half of it is rebuilt."""
