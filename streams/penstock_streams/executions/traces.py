"""Every record about an execution belongs to the trace of its request, whoever or whatever caused it. Pure.

Timers have no trace, a worker may send none, and whoever cancels has one of their own. What comes from within the
request's trace, as a worker's span does, is kept: it says where in that trace.
"""

from __future__ import annotations

import msgspec

from penstock_schemas import records as r
from penstock_schemas.records.executions import ExecutionRecord
from penstock_schemas.traces import TraceContext
from penstock_streams.executions import model as m
from penstock_streams.executions.decide import Executions
from penstock_streams.kit import Decide, Decision, Event, Output, Rows, TimerDue


def traced(decide: Executions) -> Decide:
    """`decide`, with each output in the trace of its execution's request, where that has one."""

    def decide_in_trace(rows: Rows, event: Event | TimerDue, now: int) -> Decision:
        decision = decide(rows, event, now)
        if isinstance(event, TimerDue):
            decision.outputs = [_of_request(rows, output, None) for output in decision.outputs]
        elif not isinstance(event.record, r.StartExecution):  # it brings the request's own
            decision.outputs = [_of_request(rows, output, event.trace) for output in decision.outputs]
        return decision

    return decide_in_trace


def _of_request(rows: Rows, output: Output, cause: TraceContext | None) -> Output:
    record = output.record
    if not isinstance(record, ExecutionRecord | r.SettleExecution | r.FinishTurn | r.FinishStage):
        return output
    assignment = rows.get(m.assignment_key(record.execution_id), m.Assignment)  # as it was before the decision
    trace = None if assignment is None else assignment.work.trace
    if trace is None or (cause is not None and cause.trace_id == trace.trace_id):
        return output
    return msgspec.structs.replace(output, trace=trace)
