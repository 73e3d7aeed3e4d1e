"""The agent that is slow enough to be caught running, and the one that says what it was told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from hashlib import sha256

from penstock.agents import AgentContext

STEPPING = "stepping"
"""Its name in the catalog."""
PAGE_BYTES = 4096
RECALLING = "recalling"
RECALLING_S = 0.3


class SteppingAgent:
    """As many steps as its input says, each with a pause, a page written to its workspace, and one call that is
    billed."""

    async def run(self, context: AgentContext) -> str:
        asked = json.loads(context.input)
        for number in range(1, asked["steps"] + 1):
            async with context.step(f"{number} of {asked['steps']}"):
                await asyncio.sleep(asked["step_s"])
                (context.workspace / f"step-{number}").write_bytes(bytes(PAGE_BYTES))
                await context.record_usage(context.model or "gpt-4", input_tokens=100 * number, output_tokens=7)
        return f"stepped {context.input}"


class RecallingAgent:
    """One step with one billed call; its answer differs with whatever it was told of earlier turns and stages."""

    async def run(self, context: AgentContext) -> str:
        async with context.step("recall"):
            await asyncio.sleep(RECALLING_S)
            await context.record_usage(context.model or "gpt-4", input_tokens=100, output_tokens=7)
        said = [(str(each.turn_number), each.role, each.content) for each in context.history]
        answered = [(each.stage, each.output) for each in context.previous_outputs]
        return recalled(context.input, context.turn_number, [*said, *answered])


def recalled(asked: str, turn: int | None, before: Sequence[Sequence[str]]) -> str:
    """The answer of a `RecallingAgent`: what it was asked, and a digest of everything else."""
    digest = sha256(json.dumps([turn, *map(list, before)]).encode()).hexdigest()[:16]
    return f"{asked} [{len(before)} before: {digest}]"
