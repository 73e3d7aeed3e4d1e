"""Whether a stopped process can hide heartbeats for longer than a stage's grace."""

from __future__ import annotations

from penstock_streams.kit.api import Stage
from penstock_streams.kit.errors import UnsafeTimeouts
from penstock_streams.kit.settings import StreamsSettings

GRACE_MARGIN = 0.1
"""Part of a stage's grace that stays free, for clocks and scheduling."""


def check_grace(stage: Stage, settings: StreamsSettings, abort_scan_s: float) -> None:
    """A process that stops inside a transaction hides heartbeats behind it, which must end within the grace.

    Raises:
        UnsafeTimeouts: names the four times.
    """
    hidden_s = settings.transaction_timeout_s + abort_scan_s + settings.heartbeat_s
    if stage.grace_s and hidden_s >= stage.grace_s * (1 - GRACE_MARGIN):
        raise UnsafeTimeouts(
            f"{stage.name}: PENSTOCK_STREAMS_TRANSACTION_TIMEOUT_S ({settings.transaction_timeout_s:g}), the "
            f"brokers' transaction scan ({abort_scan_s:g}) and PENSTOCK_STREAMS_HEARTBEAT_S "
            f"({settings.heartbeat_s:g}) must together stay below its grace of {stage.grace_s:g} s less "
            f"{GRACE_MARGIN:.0%}; lower them or raise the grace"
        )
