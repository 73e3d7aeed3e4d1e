"""Pipelines with a known truth: what every stage is told and answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import penstock
from penstock.errors import Unreachable
from penstock_schemas import ids
from tests.faults.agents import RECALLING, recalled
from tests.faults.wanted import MAX_ATTEMPTS, Wanted

MIN_BRANCHES, MAX_BRANCHES = 2, 4
LARGE_EVERY = 4
"""The second of so many has outputs that travel by reference."""
LARGE_BYTES = 5_000


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage: what it is told as its input, and what it answers."""

    index: int
    step: int
    name: str
    told: str
    output: str


@dataclass(frozen=True, slots=True)
class Pipeline:
    """A stage, branches side by side, one that joins them, and a last one."""

    tenant: str
    request_id: str
    branches: int
    input: str

    @property
    def pipeline_id(self) -> str:
        return ids.pipeline_id(self.tenant, self.request_id)

    def definition(self) -> dict[str, Any]:
        """As its author would write it."""

        def stage(name: str, **prompt: str) -> dict[str, Any]:
            return {"name": name, "agent": RECALLING, "model": "gpt-4", "max_attempts": MAX_ATTEMPTS, **prompt}

        names = [f"Branch {number}" for number in range(1, self.branches + 1)]
        parallel = [stage(name, prompt=f"{name}: {{outputs.First}}") for name in names]
        last = stage("Last", prompt="{previous_output} and {initial_input}")
        return {"name": "faults", "stages": [stage("First"), {"parallel": parallel}, stage("Join"), last]}

    def stages(self) -> Sequence[Stage]:
        """Every stage, in the order of the definition."""
        stages: list[Stage] = []

        def add(step: int, *told: tuple[str, str]) -> None:
            before = [(stage.name, stage.output) for stage in stages if stage.step < step]
            for name, text in told:
                stages.append(Stage(len(stages), step, name, text, recalled(text, None, before)))

        add(0, ("First", self.input))
        names = [f"Branch {number}" for number in range(1, self.branches + 1)]
        add(1, *((name, f"{name}: {stages[0].output}") for name in names))
        add(2, ("Join", "\n\n".join(f"## {stage.name}\n\n{stage.output}" for stage in stages[1:])))
        add(3, ("Last", f"{stages[-1].output} and {self.input}"))
        return stages

    def executions(self) -> Sequence[Wanted]:
        """The runs of the stages."""
        return [
            Wanted(
                self.tenant,
                ids.stage_request_id(self.pipeline_id, stage.index, 1),
                RECALLING,
                stage.told,
                "gpt-4",
                stage.output,
                calls=1,
                last_seq=2,
            )
            for stage in self.stages()
        ]

    async def start(self, client: penstock.Client) -> None:
        """In doubt it is asked for again under the same request id, which runs once."""
        while True:
            try:
                await client.start_pipeline(
                    self.definition(), self.input, tenant=self.tenant, request_id=self.request_id
                )
            except Unreachable:
                continue
            return


def nth_pipeline(tag: str, tenants: Sequence[str], number: int) -> Pipeline:
    """The nth pipeline: the number of branches changes, and some are large."""
    branches = MIN_BRANCHES + number % (MAX_BRANCHES - MIN_BRANCHES + 1)
    text = f"pipeline {number} of {tag}" + "." * (LARGE_BYTES if number % LARGE_EVERY == 1 else 0)
    return Pipeline(tenants[number % len(tenants)], f"{tag}-pipe{number}", branches, text)
