"""What a charge says its execution is part of: as its request on Kafka has it, in the ledger and on the bill."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from penstock_schemas import records as r
from penstock_services.audit.recount import LINES, Sources, recount
from penstock_services.topic_reader import Read
from penstock_streams.accounts.decide import Accounts
from penstock_streams.accounts.policy import Policy
from penstock_streams.kit import Event
from tests.services.audit.test_recount import MONTH, NOW, PUBLISHED, TOPIC, ledger_line, on_kafka
from tests.streams.accounts.test_budgets import HAIKU, request, usage
from tests.streams.partition import Partition

OUTSIDE = "penstock.accounts.requests.v1"
DAY_US = 86_400_000_000


class Books:
    """What accounts decides of `records`, and what an audit reads of it."""

    def __init__(self, *records: r.Record, at: int = NOW, topic: str = TOPIC) -> None:
        self.reads: list[Read] = []
        self._partition = Partition(Accounts(Policy()), NOW)
        self.send(*records, at=at, topic=topic)

    def send(self, *records: r.Record, at: int = NOW, topic: str = TOPIC) -> Books:
        self._partition.now = at
        for record in records:
            stamped = record.model_copy(update={"occurred_at": NOW})
            offset = len(self.reads)
            self.reads.append(Read(stamped, topic, 0, offset, at))
            self._partition.fold(Event(stamped, topic, 0, offset, at))
        return self

    @property
    def lines(self) -> list[Any]:
        return [
            record.model_copy(update={"event_id": str(number)})
            for number, record in enumerate(self._partition.written)
            if isinstance(record, LINES)
        ]

    def audit(self, lines: list[Any] | None = None, ledger: Any = None, parts: Any = None) -> list[str]:
        """What differs."""
        lines = self.lines if lines is None else lines
        charges = [line for line in lines if not isinstance(line, r.UsageQuarantined)]
        right = {
            ("acme", "pipeline", "p"): sum(line.cost_nanousd for line in charges if line.pipeline_id == "p"),
            ("acme", "conversation", "c"): sum(
                line.cost_nanousd for line in charges if line.conversation_id == "c"
            ),
        }
        sources = Sources(
            usage=[read for read in self.reads if isinstance(read.record, r.RecordUsage | r.CorrectUsage)],
            lines=on_kafka(*lines),
            requests=[read for read in self.reads if isinstance(read.record, r.RequestExecution)],
        )
        bills = {"acme": sum(line.cost_nanousd for line in charges)}
        ledger = [ledger_line(line) for line in charges] if ledger is None else ledger
        parts = {key: cost for key, cost in right.items() if cost} if parts is None else parts
        return [found.what for found in recount(MONTH, sources, ledger, bills, parts, PUBLISHED).differences]


def stage(name: str = "a") -> r.RequestExecution:
    return request(name, pipeline_id="p", stage_index=0)


def turn(name: str = "b") -> r.RequestExecution:
    return request(name, conversation_id="c", turn_number=1)


def fixed(tokens: int) -> r.CorrectUsage:
    """The first call of `stage()` as it truly was."""
    call = usage("a", 1).model_dump(exclude={"event_id", "input_tokens"})
    return r.CorrectUsage(**call, event_id="fix", input_tokens=tokens)


def test_charges_corrections_and_quarantine_that_say_what_their_requests_say_are_no_difference():
    books = Books(stage(), turn(), request("c"), usage("a", 1), usage("b", 1), usage("c", 1), fixed(60))
    books.send(usage("a", 2, model="nobody-knows"))
    assert [line.pipeline_id for line in books.lines] == ["p", None, None, "p", "p"]
    assert [line.conversation_id for line in books.lines] == [None, "c", None, None, None]
    assert books.audit() == []


@pytest.mark.parametrize(
    ("said", "what"),
    [
        ({"pipeline_id": "q"}, "is for pipeline q, its request says pipeline p"),
        ({"pipeline_id": None}, "is for no pipeline or conversation, its request says pipeline p"),
        ({"conversation_id": "c"}, "is for pipeline p and conversation c, its request says pipeline p"),
    ],
)
def test_a_line_that_says_something_else_is_found(said: dict[str, str | None], what: str):
    books = Books(stage(), usage("a", 1))
    (line,) = books.lines
    wrong = line.model_copy(update=said)
    named = (("pipeline", wrong.pipeline_id), ("conversation", wrong.conversation_id))
    parts = {("acme", kind, name): line.cost_nanousd for kind, name in named if name}
    assert books.audit([wrong], parts=parts) == [what]


def test_a_ledger_row_of_another_pipeline_is_found():
    books = Books(stage(), usage("a", 1))
    row = replace(ledger_line(books.lines[0]), pipeline_id=None)
    assert books.audit(ledger=[row]) == ["ledger row differs from its charge"]


@pytest.mark.parametrize("parts", [{}, {("acme", "pipeline", "p"): 1}, {("acme", "pipeline", "q"): 1}])
def test_a_bill_of_a_pipeline_that_is_not_the_sum_of_its_charges_is_found(parts: Any):
    found = Books(stage(), usage("a", 1)).audit(parts=parts)
    assert "the bill of pipeline p differs from the sum of its charges" in found


def test_the_same_request_sent_again_for_another_pipeline_was_refused_and_is_no_difference():
    assert Books(stage(), request("a", pipeline_id="q", stage_index=0), usage("a", 1)).audit() == []


def test_an_outside_report_before_the_request_was_read_and_a_late_one_after_it_was_forgotten_say_nothing():
    assert Books(usage("a", 1), topic=OUTSIDE).send(stage()).audit() == []
    books = Books(
        stage(), r.SettleExecution(tenant_id="acme", execution_id=usage("a", 1).execution_id, status="ok")
    )
    books._partition.advance(8 * DAY_US)
    books.send(usage("a", 1), at=NOW + 8 * DAY_US)
    assert books.lines[0].pipeline_id is None
    assert books.audit() == []


def test_usage_without_an_execution_is_for_nothing():
    report = r.RecordUsage(tenant_id="acme", usage_id="u", model=HAIKU, input_tokens=1, output_tokens=1)
    books = Books(report)
    assert books.audit() == []
    wrong = books.lines[0].model_copy(update={"pipeline_id": "p"})
    assert "is for pipeline p, its request says no pipeline or conversation" in books.audit([wrong])
