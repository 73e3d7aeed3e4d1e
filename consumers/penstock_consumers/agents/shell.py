"""`shell`: runs its input as one shell command in the attempt's folder. Not sandboxed yet, so off by default."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress
from typing import Literal

from pydantic import PositiveFloat, PositiveInt
from pydantic_settings import SettingsConfigDict

from penstock.agents import AgentContext, PermanentAgentError
from penstock.settings import Settings

READ_BYTES = 64 * 1024


class ShellDisabled(PermanentAgentError):
    """The shell agent would run the command with the worker's own rights, and nobody allowed that."""


class CommandFailed(PermanentAgentError):
    """The command ended with another status than 0; the message has the end of its output."""


class CommandTimedOut(PermanentAgentError):
    """The command ran longer than the agent allows."""


class ShellSettings(Settings):
    """What the shell agent may do, from `PENSTOCK_SHELL_*`; the switch is `PENSTOCK_UNSAFE_SHELL`."""

    model_config = SettingsConfigDict(env_prefix="PENSTOCK_SHELL_")

    limit_s: PositiveFloat = 60.0
    """A command that runs longer is killed."""
    output_bytes: PositiveInt = 256 * 1024
    """Of more output only the end is kept."""


class UnsafeShell(Settings):
    """The operator's word that commands may run without a sandbox."""

    model_config = SettingsConfigDict(env_prefix="PENSTOCK_")

    unsafe_shell: Literal["", "0", "1"] = ""


class ShellAgent:
    """Returns the command's output, stderr included.

    Raises:
        ShellDisabled: `PENSTOCK_UNSAFE_SHELL` is not 1.
        CommandFailed: status other than 0.
        CommandTimedOut: longer than `PENSTOCK_SHELL_LIMIT_S`.
    """

    async def run(self, context: AgentContext) -> str:
        if UnsafeShell().unsafe_shell != "1":
            raise ShellDisabled(
                "the shell agent is off: its sandbox comes in a later version, and until then a command would run "
                "with all the worker's rights; set PENSTOCK_UNSAFE_SHELL=1 for the worker only where every "
                "tenant is trusted with this machine"
            )
        settings = ShellSettings()
        async with context.step("run the command", "command"), context.tool("sh") as call:
            status, output = await _run(context, settings)
            call.summary = f"status {status}, {len(output)} characters of output"
            if status != 0:
                raise CommandFailed(f"the command ended with status {status}: {output[-1000:]}")
        return output


async def _run(context: AgentContext, settings: ShellSettings) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        "/bin/sh",
        "-c",
        context.input,
        cwd=context.workspace,
        env={
            "PATH": os.defpath,
            "HOME": str(context.workspace),
            "LANG": "C.UTF-8",
        },  # none of the worker's secrets
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        process_group=0,  # so that its children can be killed with it
    )
    assert process.stdout is not None
    tail = bytearray()
    try:
        async with asyncio.timeout(settings.limit_s):
            while chunk := await process.stdout.read(READ_BYTES):
                tail += chunk
                del tail[: -settings.output_bytes]
            status = await process.wait()
    except TimeoutError as exc:
        raise CommandTimedOut(
            f"the command was killed after {settings.limit_s:g} s (PENSTOCK_SHELL_LIMIT_S); "
            f"end of its output: {_text(tail)[-500:]}"
        ) from exc
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    return status, _text(tail)


def _text(output: bytearray) -> str:
    return output.decode(errors="replace")
