"""python -m tests.simulation: replay a seed, or look for a new one that fails."""

from __future__ import annotations

import argparse
import random
import sys
import time

from tests.simulation.mutations import MUTATIONS
from tests.simulation.replay import TRACE_LINES, run_for, run_seed
from tests.simulation.world import MOST_STEPS


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--seed", type=int, help="run this seed")
    what.add_argument("--seconds", type=float, help="run new seeds for this long")
    what.add_argument("--mutations", action="store_true", help="how many seeds it takes to catch each mutation")
    parser.add_argument("--steps", type=int, default=MOST_STEPS, help="stop after so many steps")
    parser.add_argument("--mutation", choices=sorted(MUTATIONS), help="with this guard taken away")
    parser.add_argument("--trace", action="store_true", help="print all that happens")
    parser.add_argument("--base", type=int, help="first of the new seeds, instead of a random one")
    parser.add_argument("--talkers", type=int, default=0, help="users who talk with agents, for --seed")
    parser.add_argument("--pipelines", type=int, default=0, help="pipelines that are started, for --seed")
    given = parser.parse_args()
    if given.mutations:
        return _try_mutations()
    if given.seed is None:
        return _look(given.seconds, random.SystemRandom().getrandbits(48) if given.base is None else given.base)
    outcome = run_seed(
        given.seed,
        given.mutation,
        traced=True,
        most_steps=given.steps,
        talkers=given.talkers,
        pipelines=given.pipelines,
    )
    print(outcome.report(len(outcome.trace) if given.trace else TRACE_LINES))
    return 1 if outcome.violation else 0


def _look(seconds: float, base: int) -> int:
    print(f"seeds from {base} on")
    began, used, steps, count = time.monotonic(), time.process_time(), 0, 0
    for outcome in run_for(seconds, base):
        count, steps = count + 1, steps + outcome.steps
        if outcome.violation:
            print(outcome.report())
            return 1
    took, used = time.monotonic() - began, time.process_time() - used
    rates = f"{count / took * 60:.0f} seeds a minute, {count / used * 60:.0f} a CPU minute"
    print(f"{count} seeds, {steps} steps: {rates}")
    return 0


def _try_mutations(most: int = 2_000) -> int:
    missed = 0
    for name, mutation in MUTATIONS.items():
        caught = (outcome for seed in range(most) if (outcome := run_seed(seed, name)).violation)
        first = next(caught, None)
        missed += first is None
        shown = f"{first.seed + 1} | {first.violation.invariant}" if first and first.violation else "missed"
        print(f"| `{name}` | {mutation.what} | {shown} |", flush=True)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
