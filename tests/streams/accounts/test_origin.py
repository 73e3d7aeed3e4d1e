"""What is charged for an execution says of which pipeline and conversation it was, as it was admitted."""

from __future__ import annotations

from typing import Any

import pytest

from penstock_schemas import records as r
from penstock_streams.timing import DAY_US
from tests.streams.accounts.test_budgets import (
    accounts,
    listing,
    outside,
    price,
    request,
    settle,
    start_call,
    usage,
)
from tests.streams.partition import only

STAGE = {"pipeline_id": "p", "stage_index": 0}
TURN = {"conversation_id": "c", "turn_number": 1}


def origin(line: Any) -> tuple[str | None, str | None]:
    return line.pipeline_id, line.conversation_id


def fixed(report: r.RecordUsage, tokens: int) -> r.CorrectUsage:
    call = report.model_dump(exclude={"event_id", "occurred_at", "input_tokens"})
    return r.CorrectUsage(**call, event_id="fix", input_tokens=tokens)


@pytest.mark.parametrize(
    ("asked", "said"), [(STAGE, ("p", None)), (TURN, (None, "c")), (STAGE | TURN, ("p", "c")), ({}, (None, None))]
)
def test_a_charge_says_what_its_request_said(asked: dict[str, Any], said: tuple[str | None, str | None]):
    partition = accounts()
    partition.send(request(**asked))
    assert origin(only(partition.send(usage()), r.UsageCharged)) == said


def test_a_request_that_waited_is_charged_alike():
    partition = accounts(concurrency=1)
    partition.send(request("a"))
    partition.send(request("b", **STAGE))
    partition.send(settle("a"))
    assert origin(only(partition.send(usage("b")), r.UsageCharged)) == ("p", None)


def test_usage_from_outside_is_for_nothing():
    partition = accounts()
    partition.send(request(**STAGE))
    assert origin(only(partition.send(outside("u", 1)), r.UsageCharged)) == (None, None)


def test_usage_that_names_another_tenants_execution_learns_nothing_of_it():
    partition = accounts()
    partition.send(request(**STAGE))
    stranger = usage().model_copy(update={"tenant_id": "globex"})
    assert origin(only(partition.send(stranger), r.UsageCharged)) == (None, None)


def test_a_late_call_is_still_for_its_pipeline_until_the_request_is_forgotten():
    partition = accounts()
    partition.send(request(**STAGE))
    partition.send(settle())
    partition.advance(6 * DAY_US)
    late = only(partition.send(usage(seq=1, epoch=2)), r.UsageCharged)
    assert (origin(late), late.wasted) == (("p", None), True)
    partition.advance(2 * DAY_US)
    assert origin(only(partition.send(usage(seq=2)), r.UsageCharged)) == (None, None)


def test_a_correction_is_for_what_the_call_was_for_also_after_the_request_is_forgotten():
    partition = accounts()
    partition.send(request(**STAGE))
    partition.send(usage())
    partition.send(settle())
    partition.advance(8 * DAY_US)
    assert origin(only(partition.send(fixed(usage(), 60)), r.ChargeAdjusted)) == ("p", None)


def test_a_call_that_waits_for_its_price_is_charged_for_its_conversation_once_one_is_listed():
    partition = accounts()
    partition.send(request(**TURN))
    waiting = only(partition.send(usage(model="ours")), r.UsageQuarantined)
    partition.send(listing(price("ours")))
    partition.advance(0)
    assert origin(waiting) == origin(only(partition.all(r.UsageCharged), r.UsageCharged)) == (None, "c")


def test_a_quarantined_call_that_is_corrected_is_charged_for_its_pipeline():
    partition = accounts()
    partition.send(request(**STAGE))
    partition.send(bad := usage(tokens=-1))
    assert origin(only(partition.send(fixed(bad, 60)), r.UsageCharged)) == ("p", None)


def test_what_was_wasted_or_never_reported_says_it_too():
    partition = accounts()
    partition.send(request(**STAGE, **TURN))
    partition.send(usage(seq=1, epoch=1))
    partition.send(start_call(seq=1, epoch=2))
    ended = partition.send(settle(accepted=2))
    assert origin(only(ended, r.SpendWasted)) == ("p", "c")
    assert origin(only(ended, r.UsageUnresolved)) == ("p", "c")


@pytest.mark.parametrize("name", ["pipeline_id", "conversation_id"])
@pytest.mark.parametrize("size", [0, 257])
def test_an_id_nobody_could_have_given_is_refused(name: str, size: int):
    rejected = only(accounts().send(request(**{name: "x" * size})), r.ExecutionRejected)
    assert rejected.reason == "invalid_request"
    assert f"{name} must be 1 to 256 characters, was {size}" in rejected.detail
