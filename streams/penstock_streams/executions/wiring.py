"""Executions as a stage: its topics and its rows."""

from __future__ import annotations

from penstock_schemas import topics
from penstock_streams.executions.decide import Executions
from penstock_streams.executions.model import ROW_TYPES
from penstock_streams.executions.policy import LeaseTimes
from penstock_streams.executions.traces import traced
from penstock_streams.kit import Stage
from penstock_streams.timing import SECOND_US


def executions_stage(times: LeaseTimes, queues: frozenset[str]) -> Stage:
    """The executions stage, dispatching to `queues`."""
    dispatch = tuple(topics.dispatch_topic(queue) for queue in sorted(queues))
    return Stage(
        name="executions",
        inputs=(topics.EXECUTIONS_COMMANDS,),
        outputs=(
            topics.EXECUTIONS_EVENTS,
            topics.EXECUTIONS_LEASES,
            topics.ACCOUNTS_COMMANDS,
            topics.CONVERSATIONS_COMMANDS,
            topics.PIPELINES_COMMANDS,
            *dispatch,
        ),
        row_types=ROW_TYPES,
        decide=traced(Executions(times)),
        grace_s=times.hold_us / SECOND_US,
    )
