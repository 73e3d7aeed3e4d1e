"""The agent that is slow enough to be caught running."""

from __future__ import annotations

import asyncio
import json

from penstock.agents import AgentContext

STEPPING = "stepping"
"""Its name in the catalog."""


class SteppingAgent:
    """As many steps as its input says, each with a pause and one call that is billed."""

    async def run(self, context: AgentContext) -> str:
        asked = json.loads(context.input)
        for number in range(1, asked["steps"] + 1):
            async with context.step(f"{number} of {asked['steps']}"):
                await asyncio.sleep(asked["step_s"])
                await context.record_usage(context.model or "gpt-4", input_tokens=100 * number, output_tokens=7)
        return f"stepped {context.input}"
