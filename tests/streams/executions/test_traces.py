"""All of an execution belongs to the trace of its request: timers, retries, workers without tracing."""

from __future__ import annotations

import msgspec

from penstock_schemas import records as r
from penstock_schemas.traces import TraceContext
from penstock_streams.executions.decide import Executions
from penstock_streams.executions.policy import LeaseTimes
from penstock_streams.executions.traces import traced
from penstock_streams.kit import Output
from penstock_streams.timing import SECOND_US
from tests.streams.executions.test_lifecycle import claim, finish, start
from tests.streams.partition import Partition

REQUEST = TraceContext(f"00-{'1' * 32}-{'a' * 16}-01", "vendor=1")
OTHER = TraceContext(f"00-{'2' * 32}-{'b' * 16}-01")
RUN = TraceContext(f"00-{'1' * 32}-{'c' * 16}-01")


def executions() -> Partition:
    return Partition(traced(Executions(LeaseTimes())))


def trace_of_last(partition: Partition, record_type: type[r.Record]) -> TraceContext | msgspec.UnsetType | None:
    output: Output = next(each for each in reversed(partition.outputs) if isinstance(each.record, record_type))
    return output.trace


def test_a_repeated_dispatch_belongs_to_the_trace_of_the_request() -> None:
    partition = executions()
    partition.send(start(), trace=REQUEST)
    partition.advance(LeaseTimes().repeat_first_us)
    assert len(partition.all(r.ExecutionDispatched)) == 2
    assert trace_of_last(partition, r.ExecutionDispatched) == REQUEST


def test_a_lost_attempt_its_retry_and_its_end_belong_to_the_trace_of_the_request() -> None:
    partition = executions()
    partition.send(start(), trace=REQUEST)
    partition.send(claim())
    partition.advance(LeaseTimes().hold_us + 3 * SECOND_US)
    assert trace_of_last(partition, r.AttemptLost) == REQUEST
    assert trace_of_last(partition, r.ExecutionDispatched) == REQUEST
    partition.send(claim(epoch=2))
    partition.send(finish(epoch=2))
    for written in r.AttemptStarted, r.LeaseGranted, r.ExecutionCompleted, r.SettleExecution:
        assert trace_of_last(partition, written) == REQUEST


def test_leases_that_run_out_together_keep_their_own_traces() -> None:
    partition = executions()
    for execution, trace in ("e1", REQUEST), ("e2", OTHER), ("e3", None):
        partition.send(start(execution), trace=trace)
        partition.send(claim(execution=execution))
    partition.advance(LeaseTimes().hold_us)
    lost = {
        each.record.execution_id: each.trace
        for each in partition.outputs
        if isinstance(each.record, r.AttemptLost)
    }
    assert lost == {"e1": REQUEST, "e2": OTHER, "e3": msgspec.UNSET}


def test_the_span_of_the_run_is_what_its_end_hangs_below_where_the_worker_names_one() -> None:
    partition = executions()
    partition.send(start(), trace=REQUEST)
    partition.send(claim(), trace=RUN)
    partition.send(finish(), trace=RUN)
    assert trace_of_last(partition, r.ExecutionCompleted) is msgspec.UNSET  # so the kit takes the event's own


def test_the_end_stays_in_the_trace_of_the_request_where_what_ends_it_comes_from_another() -> None:
    partition = executions()
    partition.send(start(), trace=REQUEST)
    partition.send(claim(), trace=OTHER)
    partition.send(finish(), trace=OTHER)
    for written in r.AttemptStarted, r.ExecutionCompleted, r.SettleExecution:
        assert trace_of_last(partition, written) == REQUEST


def test_a_request_without_a_trace_leaves_its_end_to_the_span_of_the_run() -> None:
    partition = executions()
    partition.send(start())
    partition.send(claim())
    partition.send(finish(), trace=RUN)
    assert trace_of_last(partition, r.ExecutionCompleted) is msgspec.UNSET


def test_work_written_before_there_were_traces_can_still_be_read() -> None:
    partition = executions()
    partition.send(start())
    (row,) = [row for key, row in partition.rows.items() if key.startswith("assignment/")]
    fields = msgspec.msgpack.decode(msgspec.msgpack.encode(row))
    del fields["work"]["trace"]
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(fields), type=type(row)) == row
