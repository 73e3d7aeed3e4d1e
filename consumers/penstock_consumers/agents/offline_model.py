"""A deterministic model that needs no provider: it reads its input and answers by extraction.

It takes part in the same loop as a provider's model: it first calls the tools it is offered that read its input,
then answers from
their results and from the user's text; in a conversation it repeats how each earlier message began. Its tokens are
real counts of what it read and wrote; they are priced as the model whose name it is given, for demonstration.
"""

from __future__ import annotations

from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models import Model
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.usage import RequestUsage

from penstock_consumers.agents.reading import summary
from penstock_consumers.agents.tokens import first_tokens
from penstock_consumers.agents.transcripts import counted, tool_results, user_texts

BEGINNING_CHARS = 120
READERS = ("word_statistics", "keywords")
"""The others change something or need to be told what to do."""
TOOL_CALL_TOKENS = 64
"""With fewer tokens left it answers at once instead of calling tools first."""


def offline_model(priced_as: str) -> Model:
    """The offline model, reporting its usage under the name `priced_as`."""
    return FunctionModel(_reply, model_name=priced_as)


async def _reply(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    max_tokens = (info.model_settings or {}).get("max_tokens")
    results = tool_results(messages)
    readers = [tool for tool in info.function_tools if tool.name in READERS]
    if readers and not results and (max_tokens is None or max_tokens >= TOOL_CALL_TOKENS):
        calls = [ToolCallPart(tool.name, {}, tool_call_id=f"call-{n}") for n, tool in enumerate(readers, 1)]
        response = ModelResponse(parts=calls)
    else:
        *earlier, text = user_texts(messages) or [""]
        answer = _answer(text, results, earlier)
        response = ModelResponse([TextPart(answer if max_tokens is None else first_tokens(answer, max_tokens))])
    tokens_in, tokens_out = counted(messages, info.instructions, response)
    response.usage = RequestUsage(input_tokens=tokens_in, output_tokens=tokens_out)
    return response


def _answer(text: str, results: dict[str, str], earlier: list[str]) -> str:
    said = [f"- {sentence}" for sentence in summary(text)] or ["- (the input has no sentence)"]
    remembered = [f"- {_beginning(before)}" for before in earlier]
    if remembered:
        said += ["\nEarlier you said", *remembered]
    return "\n".join(
        ["Summary", *said, *(f"\n{name.replace('_', ' ').capitalize()}\n{results[name]}" for name in results)]
    )


def _beginning(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= BEGINNING_CHARS else f"{line[:BEGINNING_CHARS]}…"
