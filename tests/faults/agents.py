"""The agent that is slow enough to be caught running."""

from __future__ import annotations

import asyncio
import json

from penstock.agents import AgentContext

STEPPING = "stepping"
"""Its name in the catalog."""
PAGE_BYTES = 4096


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
