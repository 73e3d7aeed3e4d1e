"""The judge of conversations and pipelines: what it lets pass, and that it names each kind of violation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields

import pytest

from penstock_schemas import records as r
from tests.faults.chain_records import (
    BRANCH_2,
    BRANCH_3,
    FIRST,
    JOIN,
    LAST,
    PIPELINE,
    SECOND,
    TALK,
    THIRD,
    appended,
    begun,
    done,
    ended,
    reads,
    started,
    truth,
    turn_failed,
)
from tests.faults.conversations import LARGE_TURN, TURNS, nth_conversation
from tests.faults.verdict_chains import Chains, chains_ended, judge_chains

Change = Callable[[list[r.Record]], Sequence[r.Record]]


def verdict(records: Sequence[r.Record]) -> Chains:
    return judge_chains([TALK], [PIPELINE], reads(records))


def found(chains: Chains) -> set[str]:
    """The kinds of violations."""
    return {
        each.name for each in fields(chains) if isinstance(value := getattr(chains, each.name), list) and value
    }


def has_ended(records: Sequence[r.Record]) -> bool:
    return chains_ended([TALK], [PIPELINE], reads(records))


def without(*gone: r.Record) -> Change:
    return lambda records: [each for each in records if each not in gone]


def again(*repeated: r.Record) -> Change:
    """Each once more, right behind itself."""
    return lambda records: [copy for each in records for copy in [each] * (1 + (each in repeated))]


def swapped(one: r.Record, other: r.Record) -> Change:
    places = {one.event_id: other, other.event_id: one}
    return lambda records: [places.get(each.event_id, each) for each in records]


def instead(of: r.Record, record: r.Record) -> Change:
    return lambda records: [record if each == of else each for each in records]


def renumbered(records: list[r.Record]) -> Sequence[r.Record]:
    """As if a turn had been counted that nobody took: from the third on, every number is one higher."""
    return [
        each.model_copy(update={"turn_number": each.turn_number + 1})
        if isinstance(each, r.TurnStarted | r.TurnAppended) and each.turn_number >= THIRD.number
        else each
        for each in records
    ]


def test_what_went_well_has_no_violation() -> None:
    chains = verdict(truth())
    assert chains.violations == []
    assert (chains.conversations, chains.turns, chains.pipelines, chains.stages) == (1, TURNS, 1, 6)
    assert has_ended(truth())


def test_each_answer_and_each_output_depends_on_what_came_before() -> None:
    assert len({turn.answer.partition("[")[2] for turn in TALK.turns()}) == TURNS
    assert JOIN.told.count("## Branch") == PIPELINE.branches
    assert BRANCH_3.output in LAST.told


def test_text_by_reference_is_compared() -> None:
    text = TALK.turns()[LARGE_TURN - 1].said
    ref = r.ContentRef(sha256="0" * 64, size=len(text), uri="file:///x")
    side = appended(SECOND, "user").model_copy(update={"content": None, "content_ref": ref})
    assert found(verdict(instead(appended(SECOND, "user"), side)(truth()))) == {"told"}


@pytest.mark.parametrize(
    ("changed", "kinds"),
    [
        pytest.param(without(appended(SECOND, "assistant")), {"turns_lost", "turns_disordered"}, id="half a turn"),
        pytest.param(
            without(started(SECOND), appended(SECOND, "user"), appended(SECOND, "assistant")),
            {"turns_lost", "turns_disordered"},
            id="a lost turn",
        ),
        pytest.param(again(appended(SECOND, "user")), {"turns_doubled"}, id="a doubled side"),
        pytest.param(again(started(SECOND)), {"turns_doubled"}, id="a turn begun twice"),
        pytest.param(renumbered, {"turns_disordered"}, id="a gap in the numbers"),
        pytest.param(
            swapped(started(THIRD), appended(SECOND, "assistant")), {"turns_disordered"}, id="two turns at once"
        ),
        pytest.param(
            instead(appended(THIRD, "assistant"), appended(THIRD, "assistant", "as if it were the first")),
            {"told"},
            id="a turn that was not told of the ones before",
        ),
        pytest.param(again(done(BRANCH_2)), {"stages_doubled"}, id="a stage completed twice"),
        pytest.param(again(begun(FIRST)), {"stages_doubled", "joins"}, id="a stage begun twice"),
        pytest.param(again(begun(JOIN)), {"stages_doubled", "joins"}, id="a join that fired twice"),
        pytest.param(swapped(done(BRANCH_3), begun(JOIN)), {"joins"}, id="a join before the last branch"),
        pytest.param(
            without(begun(JOIN), done(JOIN), begun(LAST), done(LAST), ended()),
            {"joins", "pipelines_lost"},
            id="a join that never fired",
        ),
        pytest.param(
            instead(done(JOIN), done(JOIN, "of two branches only")), {"told"}, id="a join told something else"
        ),
        pytest.param(without(ended()), {"pipelines_lost"}, id="a pipeline without an end"),
        pytest.param(again(ended()), {"pipelines_lost"}, id="a pipeline with two ends"),
        pytest.param(instead(ended(), ended("another's")), {"told"}, id="another output"),
    ],
)
def test_a_violation_is_named(changed: Change, kinds: set[str]) -> None:
    assert found(verdict(changed(truth()))) == kinds


def test_a_turn_that_failed_is_lost_and_ends_the_wait() -> None:
    records = instead(appended(THIRD, "assistant"), turn_failed(THIRD))(truth())
    assert "attempts_exhausted" in verdict(records).turns_lost[0]
    assert has_ended(records)


@pytest.mark.parametrize("missing", [appended(THIRD, "assistant"), ended()])
def test_the_wait_ends_with_the_last_answer_and_the_last_pipeline(missing: r.Record) -> None:
    assert not has_ended(without(missing)(truth()))


def test_what_became_of_other_chains_is_not_judged() -> None:
    other = nth_conversation("y", ["acme"], 0)
    event = started(SECOND).model_copy(update={"conversation_id": other.conversation_id})
    assert verdict([*truth(), event, event]).violations == []
