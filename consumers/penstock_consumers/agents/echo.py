"""`echo`: returns its input. For tests, benchmarks and first steps."""

from __future__ import annotations

from penstock.agents import AgentContext


class EchoAgent:
    """Returns its input in one step.

    It calls no model. Where the request names one, it reports the real token counts of its input and its output
    as one call of that model, so that a demo or a benchmark has something to bill.
    """

    async def run(self, context: AgentContext) -> str:
        async with context.step("echo"):
            if context.model:
                from penstock_consumers.agents.tokens import count_tokens

                tokens = count_tokens(context.input)
                async with context.call(context.model) as call:
                    call.used(input_tokens=tokens, output_tokens=tokens)
        return context.input
