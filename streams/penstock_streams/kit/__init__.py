"""Exactly-once tasks on Kafka: declare a `Stage` around a pure decide function and run it with `run_stages`."""

from penstock_streams.kit.api import (
    Decide,
    Decision,
    Event,
    Output,
    Prepare,
    PrepareWithRows,
    Row,
    Rows,
    Stage,
    Timer,
    TimerDue,
)
from penstock_streams.kit.process import run_stages
from penstock_streams.kit.runner import StageRunner
from penstock_streams.kit.settings import StreamsSettings

__all__ = [
    "Decide",
    "Decision",
    "Event",
    "Output",
    "Prepare",
    "PrepareWithRows",
    "Row",
    "Rows",
    "Stage",
    "StageRunner",
    "StreamsSettings",
    "Timer",
    "TimerDue",
    "run_stages",
]
