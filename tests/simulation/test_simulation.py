"""Worlds full of faults: no seed violates an invariant, and without any one guard some seed does."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from typing import Any

import pytest
from msgspec.structs import replace

from penstock_streams.accounts import decide as accounts
from penstock_streams.conversations.decide import Conversations
from penstock_streams.kit import Decision
from penstock_streams.pipelines import decide
from penstock_streams.pipelines import model as pipelines
from penstock_streams.pipelines.decide import Pipelines
from tests.simulation.mutations import MUTATIONS
from tests.simulation.replay import run_for, run_seed

SECONDS = float(os.environ.get("PENSTOCK_SIMULATION_SECONDS", "15"))
"""For new seeds."""
SEEDS_TO_CATCH = 400
"""A guard that is missing shows within so many seeds; how many it took is in docs/simulation.md."""


@pytest.mark.parametrize("first", range(0, 60, 10))
def test_no_seed_of_the_fixed_set_violates_an_invariant(first: int) -> None:
    for seed in range(first, first + 10):
        outcome = run_seed(seed)
        assert outcome.violation is None, outcome.report()


@pytest.mark.parametrize("first", range(0, 40, 10))
def test_no_turn_of_a_conversation_is_lost_or_doubled(first: int) -> None:
    for seed in range(first, first + 10):
        outcome = run_seed(seed, talkers=3)
        assert outcome.violation is None, outcome.report()


def test_without_remembered_messages_a_turn_is_doubled(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: a message that arrives twice is taken twice."""
    post = Conversations._post

    def forgetful(self: Conversations, rows: Any, message: Any, event: Any, now: int) -> Decision:
        return post(self, _Forgetful(rows), message, event, now)

    monkeypatch.setattr(Conversations, "_post", forgetful)
    assert any(run_seed(seed, talkers=3).violation for seed in range(SEEDS_TO_CATCH))


class _Forgetful:
    def __init__(self, rows: Any) -> None:
        self._rows = rows

    def get(self, key: str, row_type: Any) -> Any:
        return None if key.startswith("answered/") else self._rows.get(key, row_type)


@pytest.mark.parametrize("first", range(0, 40, 10))
def test_no_stage_of_a_pipeline_is_lost_or_doubled(first: int) -> None:
    for seed in range(first, first + 10):
        outcome = run_seed(seed, pipelines=3)
        assert outcome.violation is None, outcome.report()


def _finish_any(self: Pipelines, rows: Any, finish: Any, now: int) -> Decision:
    """An end counts whatever the stage's row says."""
    return _finish(self, _StillRunning(rows), finish, now)


class _StillRunning:
    def __init__(self, rows: Any) -> None:
        self._rows = rows

    def get(self, key: str, row_type: Any) -> Any:
        row = self._rows.get(key, row_type)
        return replace(row, state="running") if isinstance(row, pipelines.Stage) else row


def _joined_early(rows: Any, pipeline_id: str, head: Any, *rest: Any) -> Any:
    """A step is over with the first of its stages."""
    return _go_on(rows, pipeline_id, replace(head, done=head.end - head.first) if head.done else head, *rest)


def _end_at_once(rows: Any, pipeline_id: str, head: Any, *rest: Any) -> Any:
    """A pipeline that is to stop does not wait for what runs."""
    return _stop(rows, pipeline_id, replace(head, running=0), *rest)


_finish, _go_on, _stop = Pipelines._finish, decide.go_on, decide.go_on_stopping
PIPELINE_GUARDS = {
    "ends counted again": (Pipelines, "_finish", _finish_any),
    "joins before all have ended": (decide, "go_on", _joined_early),
    "ends while stages run": (decide, "go_on_stopping", _end_at_once),
    "written inputs taken again": (decide, "is_awaited", lambda head, written: True),
    "a reservation that is not given back": (accounts, "release_pipeline", lambda *_: Decision()),
}


@pytest.mark.timeout(600)
@pytest.mark.parametrize("guard", PIPELINE_GUARDS)
def test_without_a_guard_of_pipelines_some_seed_violates_an_invariant(
    guard: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(*PIPELINE_GUARDS[guard])
    assert any(run_seed(seed, pipelines=3).violation for seed in range(SEEDS_TO_CATCH))


def test_no_new_seed_violates_an_invariant(capsys: pytest.CaptureFixture[str]) -> None:
    base = random.SystemRandom().getrandbits(48)
    with capsys.disabled():
        print(f"\nsimulation: new seeds from {base} on, for {SECONDS:g} s")
    for outcome in run_for(SECONDS, base):
        assert outcome.violation is None, outcome.report()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", MUTATIONS)
def test_without_a_guard_some_seed_violates_an_invariant(name: str) -> None:
    assert any(run_seed(seed, name).violation for seed in range(SEEDS_TO_CATCH))


def test_a_seed_replays_exactly_whatever_the_hash_seed() -> None:
    command = [sys.executable, "-m", "tests.simulation", "--seed", "7", "--trace"]
    traces = [
        subprocess.run(
            command, env=os.environ | {"PYTHONHASHSEED": hash_seed}, check=True, capture_output=True, text=True
        ).stdout
        for hash_seed in ("1", "2")
    ]
    assert traces[0] == traces[1]
    assert len(traces[0].splitlines()) > 100


def test_tracing_a_seed_changes_nothing_in_it() -> None:
    plain, traced = run_seed(3), run_seed(3, traced=True)
    assert (plain.steps, plain.virtual_s) == (traced.steps, traced.virtual_s)


def test_a_failing_seed_reports_what_is_violated_the_last_steps_and_how_to_see_it_again() -> None:
    name = "misrouted-dropped"
    outcome = next(o for seed in range(SEEDS_TO_CATCH) if (o := run_seed(seed, name)).violation)
    report = outcome.report(lines=5).splitlines()
    assert report[0] == f"seed {outcome.seed}: {outcome.violation}"
    assert "VIOLATED" in report[-2]
    assert report[-1] == f"again: python -m tests.simulation --seed {outcome.seed} --trace --mutation {name}"
    assert len(report) == 2 + 5 + 1


def test_a_run_stops_after_the_steps_it_is_given() -> None:
    assert run_seed(0, most_steps=100).steps == 100
