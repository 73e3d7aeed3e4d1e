"""The assistant's pydantic-ai agent: one model, two tools that read the user's text exactly, and, where there is a
sandbox, tools that work in a folder of the run's own."""

from __future__ import annotations

from pydantic_ai import Agent, RunContext
from pydantic_ai.exceptions import AgentRunError
from pydantic_ai.messages import ModelMessage, ModelRequest, ModelResponse, TextPart, UserPromptPart
from pydantic_ai.tools import ToolDefinition

from penstock.agents import AgentContext, PastMessage, PermanentAgentError
from penstock_consumers.agents import reading, workspace_tools
from penstock_consumers.agents.metered import MeteredModel
from penstock_consumers.agents.provider import AssistantSettings, model_for

INSTRUCTIONS = (
    "Answer the user. If the message is a text without a request, summarise it. The tools give exact statistics "
    "and keywords of the user's message; use them instead of counting yourself. Tools on files and commands, "
    "where "
    "there are any, work in an empty folder of your own without a network."
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


async def _where_sandboxed(call: RunContext[AgentContext], tool: ToolDefinition) -> ToolDefinition | None:
    """Offer a tool only where it can do something."""
    return tool if call.deps.runs_commands else None


@_agent.tool(prepare=_where_sandboxed)
async def run_command(call: RunContext[AgentContext], command: str) -> str:
    """Run a shell command in your folder. There is no network; python3 and the usual text tools are there."""
    return await workspace_tools.run_command(call.deps, command)


@_agent.tool(prepare=_where_sandboxed)
async def read_file(call: RunContext[AgentContext], path: str) -> str:
    """The text of a file of your folder; `path` is relative to it."""
    return await workspace_tools.read_file(call.deps, path)


@_agent.tool(prepare=_where_sandboxed)
async def write_file(call: RunContext[AgentContext], path: str, text: str) -> str:
    """Write a text file into your folder; `path` is relative to it."""
    return await workspace_tools.write_file(call.deps, path, text)


@_agent.tool(prepare=_where_sandboxed)
async def list_files(call: RunContext[AgentContext]) -> str:
    """The files of your folder with their sizes."""
    return await workspace_tools.list_files(call.deps)
