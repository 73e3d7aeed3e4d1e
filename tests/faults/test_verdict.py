"""The judge: what it lets pass, and that it names each kind of violation."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import count

import pytest

from penstock_schemas import records as r
from penstock_schemas import topics
from penstock_schemas.ids import derived_id, usage_id
from penstock_services.topic_reader import Read
from tests.faults.load import nth, tenants_of
from tests.faults.verdict import Verdict, all_ended, judge, loaded_ids
from tests.faults.wanted import Wanted

WANTED = nth("x", tenants_of("x", 1), 0)
OFFSETS = count()
RECEIVED_US = 1_793_534_400_000_000
"""Noon of 1 November 2026, UTC."""


def read(topic: topics.Topic, record: r.Record) -> Read:
    return Read(record, topic.name, 0, next(OFFSETS), RECEIVED_US)


def completed(wanted: Wanted = WANTED, **changed: object) -> Read:
    fields = {
        "event_id": derived_id("end", wanted.execution_id),
        "tenant_id": wanted.tenant,
        "execution_id": wanted.execution_id,
        "request_id": wanted.request_id,
        "agent_type": wanted.agent,
        "epoch": 1,
        "attempts": 1,
        "last_seq": wanted.last_seq,
        "output": wanted.output,
    }
    return read(topics.EXECUTIONS_EVENTS, r.ExecutionCompleted(**fields | changed))


def failed(wanted: Wanted = WANTED) -> Read:
    ending = completed(wanted).record.model_dump(exclude={"output", "output_ref"})
    failure = r.ExecutionFailed(**ending, error_type="attempts_exhausted", error_message="")
    return read(topics.EXECUTIONS_EVENTS, failure)


def progress(seq: int, epoch: int = 1) -> Read:
    fields = {"tenant_id": WANTED.tenant, "execution_id": WANTED.execution_id, "epoch": epoch, "seq": seq}
    event_id = derived_id("progress", WANTED.execution_id, epoch, seq)
    return read(topics.EXECUTIONS_PROGRESS, r.ProgressReported(event_id=event_id, message="", **fields))


def usage(call: int, epoch: int = 1, period: str = "2026-11") -> tuple[Read, Read]:
    """The report of one call, and its charge."""
    fields = {
        "tenant_id": WANTED.tenant,
        "usage_id": usage_id(WANTED.tenant, WANTED.execution_id, epoch, call),
        "execution_id": WANTED.execution_id,
        "model": "gpt-4",
        "input_tokens": 1,
        "output_tokens": 1,
    }
    of_report = {"usage_topic": topics.ACCOUNTS_COMMANDS.name, "usage_partition": 0, "usage_offset": 0}
    line = derived_id("line", fields["usage_id"])
    charge = r.UsageCharged(event_id=line, **fields, **of_report, cost_nanousd=1, price_version="1", period=period)
    report = r.RecordUsage(event_id=fields["usage_id"], **fields)
    return read(topics.ACCOUNTS_COMMANDS, report), read(topics.ACCOUNTS_EVENTS, charge)


def truth() -> list[Read]:
    """Everything Kafka holds of one execution that went well."""
    calls = [each for call in range(1, WANTED.calls + 1) for each in usage(call)]
    return [*calls, *(progress(seq) for seq in range(1, WANTED.last_seq + 1)), completed()]


def verdict(reads: Iterable[Read]) -> Verdict:
    reads = list(reads)
    return judge([WANTED], reads, dict.fromkeys(loaded_ids([WANTED], reads), 1))


def without(reads: list[Read], kind: type[r.Record]) -> list[Read]:
    """Without the first record of a kind."""
    first = next(each for each in reads if isinstance(each.record, kind))
    return [each for each in reads if each is not first]


def test_what_went_well_has_no_violation() -> None:
    assert verdict(truth()).violations == []
    assert all_ended([WANTED], truth())


def test_progress_sent_again_and_a_lost_attempts_usage_are_no_violation() -> None:
    assert verdict([*truth(), progress(1), progress(1, epoch=7), *usage(1, epoch=7)]).violations == []


def test_what_became_of_other_loads_is_not_judged() -> None:
    other = nth("y", tenants_of("y", 1), 0)
    assert verdict([*truth(), failed(other)]).violations == []


def test_whatever_a_stage_writes_is_written_once() -> None:
    answer = read(
        topics.EXECUTIONS_LEASES,
        r.LeaseConfirmed(event_id="e", tenant_id="other", worker_id="w", partition=0, heartbeat_seq=1),
    )
    assert verdict([*truth(), answer, replace(answer, offset=next(OFFSETS))]).doubled == [
        "LeaseConfirmed e was written 2 times"
    ]


def test_an_execution_without_an_end_is_lost() -> None:
    reads = without(truth(), r.ExecutionCompleted)
    assert verdict(reads).lost == ["x-0 has no terminal event"]
    assert not all_ended([WANTED], reads)


@pytest.mark.parametrize("ending", [failed(), completed(output="another's")])
def test_an_execution_with_another_end_than_its_result_is_lost(ending: Read) -> None:
    assert len(verdict([*without(truth(), r.ExecutionCompleted), ending]).lost) == 1


def test_a_second_result_is_doubled() -> None:
    assert verdict([*truth(), completed(event_id="another", epoch=2)]).doubled == ["x-0 has 2 terminal events"]


def test_a_charge_written_again_is_doubled() -> None:
    reads = truth()
    charge = next(each for each in reads if isinstance(each.record, r.UsageCharged))
    found = verdict([*reads, replace(charge, offset=next(OFFSETS))])
    assert len(found.doubled) == 1
    assert "UsageCharged" in found.doubled[0]
    assert "is charged 2 times" in found.charges[0]


def test_a_call_without_a_charge_is_missing_twice() -> None:
    reads = without(truth(), r.UsageCharged)
    assert len(verdict(reads).charges) == 2  # it was reported, and it belongs to the accepted attempt
    assert not all_ended([WANTED], reads)


def test_a_charge_nobody_reported_is_found() -> None:
    assert "was not reported" in verdict([*truth(), usage(9)[1]]).charges[0]


@pytest.mark.parametrize(("period", "found"), [("2026-11", 0), ("2026-10", 0), ("2026-09", 1), ("2026-12", 1)])
def test_a_charge_in_a_month_in_which_the_call_was_not_made_is_found(period: str, found: int) -> None:
    reads = [*without(without(truth(), r.RecordUsage), r.UsageCharged), *usage(1, period=period)]
    assert len(verdict(reads).charges) == found


def test_a_gap_in_the_accepted_attempts_progress_is_found() -> None:
    assert len(verdict(without(truth(), r.ProgressReported)).progress) == 1


@pytest.mark.parametrize("times", [0, 2])
def test_a_row_that_is_missing_or_there_twice_is_found(times: int) -> None:
    reads = truth()
    rows = dict.fromkeys(loaded_ids([WANTED], reads), 1)
    changed = completed().record.event_id
    rows = {event: 1 for event in rows if event != changed} | ({changed: times} if times else {})
    assert len(judge([WANTED], reads, rows).rows) == 1
