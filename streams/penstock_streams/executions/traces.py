"""What a timer, or a worker without tracing, causes still belongs to the trace of the request. Pure."""

from __future__ import annotations

import msgspec

from penstock_schemas import records as r
from penstock_schemas.records.executions import ExecutionRecord
from penstock_streams.executions import model as m
from penstock_streams.executions.decide import Executions
from penstock_streams.kit import Decide, Decision, Event, Output, Rows, TimerDue


def traced(decide: Executions) -> Decide:
    """`decide`, with every record about an execution in a trace: the event's own, else that of its request."""

    def decide_in_trace(rows: Rows, event: Event | TimerDue, now: int) -> Decision:
        decision = decide(rows, event, now)
        if isinstance(event, TimerDue) or (event.trace is None and not isinstance(event.record, r.StartExecution)):
            decision.outputs = [_of_request(rows, output) for output in decision.outputs]
        return decision

    return decide_in_trace


def _of_request(rows: Rows, output: Output) -> Output:
    record = output.record
    if output.trace is not msgspec.UNSET or not isinstance(record, ExecutionRecord | r.SettleExecution):
        return output
    assignment = rows.get(m.assignment_key(record.execution_id), m.Assignment)  # as it was before the decision
    if assignment is None or assignment.work.trace is None:
        return output
    return msgspec.structs.replace(output, trace=assignment.work.trace)
