"""The assistant's tools on its workspace: commands in the sandbox, and files that cannot lie outside.

Each answers the model with text, also where it was refused, so that the model can do something else.
"""

from __future__ import annotations

import asyncio

from penstock.agents import AgentContext
from penstock.agents.commands import Outcome
from penstock.errors import WorkspaceError
from penstock_services.workspaces.beneath import files_beneath, read_beneath, write_beneath

SHOWN_BYTES = 32 * 1024
"""Of a file or of a command's output: what a model can still read."""
LISTED_FILES = 500


async def run_command(context: AgentContext, command: str) -> str:
    """Run a shell command in the workspace; returns why it ended, its status and the end of its output."""
    async with context.tool("run_command") as reported:
        outcome = await context.run_command(["sh", "-c", command], output_bytes=SHOWN_BYTES)
        reported.summary = _ended(outcome)
    output = outcome.output.decode(errors="replace")
    return f"{_ended(outcome)}\n{'(only the end of the output)' if outcome.truncated else ''}\n{output}"


async def read_file(context: AgentContext, path: str) -> str:
    """The beginning of a file of the workspace."""
    async with context.tool("read_file") as reported:
        try:
            data = await asyncio.to_thread(read_beneath, context.workspace, path, SHOWN_BYTES + 1)
        except (OSError, WorkspaceError) as exc:
            reported.summary = f"{path}: {exc}"
            return f"refused: {exc}"
        reported.summary = f"{path}: {min(len(data), SHOWN_BYTES)} bytes"
    more = "\n(the file goes on)" if len(data) > SHOWN_BYTES else ""
    return data[:SHOWN_BYTES].decode(errors="replace") + more


async def write_file(context: AgentContext, path: str, text: str) -> str:
    """Write a text file into the workspace."""
    data = text.encode(errors="replace")
    async with context.tool("write_file") as reported:
        try:
            await asyncio.to_thread(write_beneath, context.workspace, path, data)
        except (OSError, WorkspaceError) as exc:
            reported.summary = f"{path}: {exc}"
            return f"refused: {exc}"
        reported.summary = f"{path}: {len(data)} bytes"
    return f"wrote {len(data)} bytes to {path}"


async def list_files(context: AgentContext) -> str:
    """The files of the workspace with their sizes, one a line."""
    async with context.tool("list_files") as reported:
        workspace = context.workspace
        found = await asyncio.to_thread(lambda: list(files_beneath(workspace, LISTED_FILES + 1)))
        reported.summary = f"{len(found)} files"
    lines = [f"{file.path} ({file.size_bytes} bytes)" for file in found[:LISTED_FILES]]
    return "\n".join([*lines, *(["..."] if len(found) > LISTED_FILES else [])]) or "the workspace is empty"


def _ended(outcome: Outcome) -> str:
    status = f"signal {outcome.signal}" if outcome.exit_code is None else f"status {outcome.exit_code}"
    return f"{outcome.reason}, {status}"
