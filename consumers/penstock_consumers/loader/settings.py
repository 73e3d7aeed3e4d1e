"""What an operator can set about a loader."""

from __future__ import annotations

from pydantic import PositiveFloat, PositiveInt
from pydantic_settings import SettingsConfigDict

from penstock.settings import Settings


class LoaderSettings(Settings):
    """From `PENSTOCK_LOADER_*`."""

    model_config = SettingsConfigDict(env_prefix="PENSTOCK_LOADER_")

    group_id: str = "penstock-loader"
    """Consumer group; more loaders in one group share the partitions."""
    max_rows: PositiveInt = 100_000
    """Most records of one batch."""
    max_batch_bytes: PositiveInt = 32 << 20
    """Most bytes of record values in one batch, of which there may be two. Bounds this process's memory, together
    with the fetch buffers."""
    idle_linger_s: PositiveFloat = 0.1
    """How long a batch waits for more after its first record while loading is quick."""
    busy_linger_s: PositiveFloat = 1.0
    """The longest it waits while loading is slow: fewer, larger parts."""
