"""Running seeds, and telling what went wrong in one."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from tests.simulation.mutations import MUTATIONS, mutated
from tests.simulation.violations import Violation
from tests.simulation.world import MOST_STEPS, World

TRACE_LINES = 60


@dataclass(frozen=True)
class Outcome:
    """How one world went."""

    seed: int
    mutation: str | None
    violation: Violation | None
    steps: int
    virtual_s: float
    trace: tuple[str, ...]
    """Empty where nothing was traced."""
    given: Mapping[str, int] = field(default_factory=dict)
    """Users and pipelines the world was given."""

    def report(self, lines: int = TRACE_LINES) -> str:
        """For whoever has to find out why: what is violated, the last steps, and how to see it again."""
        again = f"python -m tests.simulation --seed {self.seed} --trace"
        again += f" --mutation {self.mutation}" if self.mutation else ""
        again += "".join(f" --{what} {number}" for what, number in self.given.items() if number)
        trace = list(self.trace) or list(run_seed(self.seed, self.mutation, traced=True, **self.given).trace)
        return "\n".join(
            [
                f"seed {self.seed}: {self.violation or 'nothing is violated'}",
                f"after {self.steps} steps and {self.virtual_s:.1f} virtual seconds; the last of it:",
                *trace[-lines:],
                f"again: {again}",
            ]
        )


def run_seed(
    seed: int,
    mutation: str | None = None,
    *,
    traced: bool = False,
    most_steps: int = MOST_STEPS,
    talkers: int = 0,
    pipelines: int = 0,
) -> Outcome:
    """The world of `seed`, to its end or to the first violation. The same arguments give the same outcome."""
    violation, given = None, {"talkers": talkers, "pipelines": pipelines}
    shape = (MUTATIONS[mutation].shape or {}) if mutation else {}
    with mutated(mutation):
        world = World(seed, traced, given | shape)
        try:
            world.run(most_steps)
        except Violation as exc:
            violation = exc
            world.scheduler.note("VIOLATED", exc)
        finally:
            world.close()
    scheduler = world.scheduler
    trace = tuple(scheduler.trace or ())
    return Outcome(seed, mutation, violation, scheduler.steps, scheduler.now / 1e6, trace, given)


def run_for(seconds: float, base: int) -> Iterator[Outcome]:
    """Seeds from `base` on, for as long as that; at least one."""
    ends = time.monotonic() + seconds
    seed = base
    while True:
        yield run_seed(seed)
        seed += 1
        if time.monotonic() >= ends:
            return
