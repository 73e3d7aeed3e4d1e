"""Agents that do next to nothing, for benchmarks of everything around them."""

from __future__ import annotations

import asyncio
import time

from penstock.agents import AgentContext


class Noop:
    """One provider call of two tokens, no output."""

    async def run(self, context: AgentContext) -> str:
        await context.record_usage("claude-3-haiku", input_tokens=1, output_tokens=1)
        return ""


class Listens:
    """Says that it listens, and when it saw that it is cancelled, in nanoseconds since the epoch."""

    async def run(self, context: AgentContext) -> str:
        await context.progress("listening")
        while not context.cancelled:  # noqa: ASYNC110 - that is how an agent looks
            await asyncio.sleep(0.002)
        await context.progress(str(time.time_ns()))
        return ""


class Takes:
    """Takes as many seconds as its input says, asleep."""

    async def run(self, context: AgentContext) -> str:
        await asyncio.sleep(float(context.input))
        return ""
