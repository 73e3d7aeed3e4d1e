"""What a stack is: processes and set-up steps with what each comes after. The supervisor executes it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from graphlib import TopologicalSorter

from penstock_services.embedded.process import ServerProcess


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """Something done once at every start, between one process being healthy and the next one's start."""

    name: str
    run: Callable[[], Awaitable[None]]
    """Must be idempotent: it also runs when an earlier start did it."""
    after: tuple[str, ...] = ()
    timeout_s: float = 60.0


@dataclass(frozen=True, slots=True)
class Stack:
    """Processes and steps; their `after` names must form no cycle."""

    processes: tuple[ServerProcess, ...]
    steps: tuple[Step, ...] = ()

    def check(self) -> None:
        """Check the names.

        Raises:
            ValueError: a name used twice, an `after` that names nothing, or a cycle.
        """
        units: tuple[ServerProcess | Step, ...] = (*self.processes, *self.steps)
        names = [unit.name for unit in units]
        unknown = {name for unit in units for name in unit.after} - set(names)
        if unknown or len(names) != len(set(names)):
            raise ValueError(f"a stack with names used twice, or unknown in `after`: {sorted(unknown)}")
        self.stop_order()

    def stop_order(self) -> list[tuple[str, ...]]:
        """Names in groups: everything in one group stops together, after those of earlier groups have stopped."""
        uses = {process.name: {*process.after, *process.stops_before} for process in self.processes}
        uses |= {step.name: set(step.after) for step in self.steps}
        sorter = TopologicalSorter(uses)
        sorter.prepare()
        groups: list[tuple[str, ...]] = []
        while sorter.is_active():
            groups.append(sorter.get_ready())
            sorter.done(*groups[-1])
        return groups[::-1]
