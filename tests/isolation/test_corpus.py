"""The escape corpus: every attack fails, and succeeds where the guard it is about is taken away."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.fixtures.outside import PUBLIC
from tests.isolation.attack import run
from tests.isolation.case import AREAS, Case
from tests.isolation.cases import CASES, allowed
from tests.isolation.in_terminal import TerminalWorker
from tests.isolation.place import Place
from tests.isolation.table import PAGE, page
from tests.second_run import counts_at_once

GUARDED = [pytest.param(case, tier, id=f"{tier}-{case.area}-{case.name}") for case in CASES for tier in case.tiers]
CONTROLS = [pytest.param(case, id=f"{case.area}-{case.name}") for case in CASES]


@counts_at_once
@pytest.mark.parametrize(("case", "tier"), GUARDED)
def test_the_attack_fails(case: Case, tier: str, place: Place, request: pytest.FixtureRequest) -> None:
    if case.in_terminal:
        worker: TerminalWorker = request.getfixturevalue("terminal_worker")
        answer = worker.run(case, tier, control=False)
        assert answer["escaped"] is None, answer["said"]
        assert answer["tried"], answer["said"]
        return
    verdict = run(case, place, tier)
    assert verdict.escaped is None, str(verdict)
    assert verdict.tried, f"it did not come to its end, so it proved nothing: {verdict}"


@pytest.mark.parametrize("case", CONTROLS)
def test_the_attack_succeeds_without_its_guard(case: Case, place: Place, request: pytest.FixtureRequest) -> None:
    if reason := case.no_control():
        pytest.skip(reason)
    if case.in_terminal:
        worker: TerminalWorker = request.getfixturevalue("terminal_worker")
        answer = worker.run(case, case.tiers[0], control=True)
        assert answer["escaped"] is not None, answer["said"]
        return
    verdict = run(case, place, case.tiers[0], control=True)
    assert verdict.escaped is not None, f"the guard was away and still nothing escaped: {verdict}"


def test_the_outside_answers_a_command_that_is_allowed_a_network(place: Place) -> None:
    verdict = run(replace(allowed.CASES[0], attack=allowed.ANSWERED), place, "enterprise")
    assert verdict.tried, str(verdict)


def test_where_the_outside_does_not_answer_an_attack_proves_nothing(place: Place) -> None:
    verdict = run(replace(allowed.CASES[0], network_hosts=PUBLIC[1:]), place, "enterprise")
    assert not verdict.tried
    assert b"the outside does not answer" in verdict.outcome.output


def test_the_corpus_covers_every_area_with_no_name_twice() -> None:
    names = [case.name for case in CASES]
    assert sorted(names) == sorted(set(names))
    assert {case.area for case in CASES} == set(AREAS)
    assert len(CASES) >= 80


def test_the_page_lists_the_cases() -> None:
    assert PAGE.read_text() == page(), "write it anew: .venv/bin/python -m tests.isolation --write-docs"
