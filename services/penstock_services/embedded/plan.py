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

    def start_order(self) -> list[tuple[str, ...]]:
        """Names in groups: everything in one group comes only after things of earlier groups.

        Raises:
            ValueError: a cycle, a name used twice, or an `after` that names nothing.
        """
        units: tuple[ServerProcess | Step, ...] = (*self.processes, *self.steps)
        graph = {unit.name: set(unit.after) for unit in units}
        unknown = set().union(*graph.values()) - graph.keys()
        if unknown or len(graph) != len(units):
            raise ValueError(f"a stack with names used twice or unknown in `after`: {sorted(unknown)}")
        sorter = TopologicalSorter(graph)
        sorter.prepare()
        groups: list[tuple[str, ...]] = []
        while sorter.is_active():
            group = sorter.get_ready()
            groups.append(group)
            sorter.done(*group)
        return groups
