"""The assistant's pydantic-ai agent: one model, two tools that read the user's text exactly."""

from __future__ import annotations

from pydantic_ai import Agent, RunContext
from pydantic_ai.exceptions import AgentRunError
from pydantic_ai.messages import ModelMessage, ModelRequest, ModelResponse, TextPart, UserPromptPart

from penstock.agents import AgentContext, PastMessage, PermanentAgentError
from penstock_consumers.agents import reading
from penstock_consumers.agents.metered import MeteredModel
from penstock_consumers.agents.provider import AssistantSettings, model_for

INSTRUCTIONS = (
    "Answer the user. If the message is a text without a request, summarise it. The tools give exact statistics "
    "and keywords of the user's message; use them instead of counting yourself."
)


async def answer(context: AgentContext) -> str:
    """The model's answer to the attempt's input.

    Raises:
        RetryableAgentError: the provider is overloaded or away.
        PermanentAgentError: anything else that keeps the model from an answer.
    """
    settings = AssistantSettings()
    name = context.model or settings.model
    if settings.offline:
        await context.progress(
            f"no provider is set: the offline model answers; its tokens are priced as {name} for demonstration"
        )
    model = MeteredModel(model_for(name, settings), context, priced_as=name)
    try:
        earlier = [_as_model_message(past) for past in context.history]
        return (await _agent.run(context.input, deps=context, model=model, message_history=earlier)).output
    except AgentRunError as exc:
        raise PermanentAgentError(f"the model did not come to an answer: {exc}") from exc


def _as_model_message(past: PastMessage) -> ModelMessage:
    if past.role == "user":
        return ModelRequest([UserPromptPart(past.content, timestamp=past.said_at)])
    return ModelResponse([TextPart(past.content)], timestamp=past.said_at)


_agent = Agent(deps_type=AgentContext, instructions=INSTRUCTIONS)


@_agent.tool
async def word_statistics(call: RunContext[AgentContext]) -> str:
    """Exact counts of the user's message: characters, words, distinct words, sentences."""
    async with call.deps.tool("word_statistics") as reported:
        found = reading.word_statistics(call.deps.input)
        reported.summary = (
            f"{found.words} words ({found.distinct_words} distinct) in {found.sentences} sentences, "
            f"{found.words_per_sentence} words per sentence, {found.characters} characters"
        )
    await call.deps.progress(reported.summary, 0.4)
    return reported.summary


@_agent.tool
async def keywords(call: RunContext[AgentContext]) -> str:
    """The words that carry the user's message, most frequent first."""
    async with call.deps.tool("keywords") as reported:
        reported.summary = ", ".join(reading.keywords(call.deps.input)) or "none"
    await call.deps.progress(f"keywords: {reported.summary}", 0.6)
    return reported.summary
