"""The text of a model call: what goes in, what comes out, and how many tokens that is."""

from __future__ import annotations

import json
from collections.abc import Sequence

from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)

from penstock_consumers.agents.tokens import count_tokens


def input_text(messages: Sequence[ModelMessage], instructions: str | None) -> str:
    """Everything a model reads in a call: instructions, then every message so far."""
    read = [instructions or ""]
    for message in messages:
        read += _request_texts(message) if isinstance(message, ModelRequest) else [output_text(message)]
    return "\n".join(text for text in read if text)


def output_text(response: ModelResponse) -> str:
    """Everything a model wrote: texts, and tool calls as name and JSON arguments."""
    written: list[str] = []
    for part in response.parts:
        if isinstance(part, TextPart):
            written.append(part.content)
        elif isinstance(part, ToolCallPart):
            written.append(f"{part.tool_name} {part.args_as_json_str()}")
    return "\n".join(written)


def counted(
    messages: Sequence[ModelMessage], instructions: str | None, response: ModelResponse
) -> tuple[int, int]:
    """Tokens in and out of one call, counted from its texts."""
    return count_tokens(input_text(messages, instructions)), count_tokens(output_text(response))


def user_texts(messages: Sequence[ModelMessage]) -> list[str]:
    """What the user has said, oldest first; the last is what is to be answered."""
    return [
        part.content
        for message in messages
        if isinstance(message, ModelRequest)
        for part in message.parts
        if isinstance(part, UserPromptPart) and isinstance(part.content, str)
    ]


def tool_results(messages: Sequence[ModelMessage]) -> dict[str, str]:
    """What the tools answered, as text, by tool name."""
    return {
        part.tool_name: part.content if isinstance(part.content, str) else json.dumps(part.content)
        for message in messages
        if isinstance(message, ModelRequest)
        for part in message.parts
        if isinstance(part, ToolReturnPart)
    }


def _request_texts(message: ModelRequest) -> list[str]:
    return [str(part.content) for part in message.parts if isinstance(part, UserPromptPart | ToolReturnPart)]
