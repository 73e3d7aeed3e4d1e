"""`assistant`: answers its input with a language model and two reading tools."""

from __future__ import annotations

from penstock.agents import AgentContext, PermanentAgentError
from penstock.errors import MissingExtra


class AssistantAgent:
    """Offline and deterministic unless a provider is set by `PENSTOCK_ASSISTANT_*`.

    Raises:
        RetryableAgentError: the provider is overloaded or away.
        PermanentAgentError: empty input, a refused call, `max_tokens` used up.
    """

    async def run(self, context: AgentContext) -> str:
        if not context.input.strip():
            raise PermanentAgentError("the assistant was given no text; put a question or a text into `input`")
        await context.progress("reading the input", 0.1)
        # Imported here: seconds and 90 MB that slots which only echo never pay.
        try:
            from penstock_consumers.agents.reading_agent import answer
        except ImportError as exc:
            raise MissingExtra(f"the assistant needs packages of penstock[agents]: {exc}") from exc
        output = await answer(context)
        async with context.step("write the answer", "output"):
            await context.emit(output)
        await context.progress("done", 1.0)
        return output
