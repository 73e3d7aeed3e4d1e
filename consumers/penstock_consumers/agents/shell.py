"""`shell`: runs its input as one shell command in the sandbox."""

from __future__ import annotations

from pydantic import PositiveFloat, PositiveInt
from pydantic_settings import SettingsConfigDict

from penstock.agents import AgentContext, Outcome, PermanentAgentError
from penstock.settings import Settings

SHOWN_CHARS = 1000
"""Of the output of a command that failed."""


class CommandFailed(PermanentAgentError):
    """The command ended with another status than 0; the message has the end of its output."""


class CommandStopped(PermanentAgentError):
    """The command was stopped by one of its tier's limits; the message names it."""


class CommandTimedOut(CommandStopped):
    """The command ran longer than its tier or the agent allows."""


class ShellSettings(Settings):
    """What the shell agent may do, from `PENSTOCK_SHELL_*`."""

    model_config = SettingsConfigDict(env_prefix="PENSTOCK_SHELL_")

    limit_s: PositiveFloat | None = None
    """A command that runs longer is killed, also where its tier would let it go on."""
    output_bytes: PositiveInt = 256 * 1024
    """Of more output only the end is kept."""


class ShellAgent:
    """Returns the command's output, stderr included.

    Raises:
        CommandFailed: status other than 0.
        CommandTimedOut, CommandStopped: one of the tier's limits ended it.
        SandboxError: nothing was run.
    """

    async def run(self, context: AgentContext) -> str:
        settings = ShellSettings()
        async with context.step("run the command", "command"), context.tool("sh") as call:
            outcome = await context.run_command(
                ["sh", "-c", context.input], timeout_s=settings.limit_s, output_bytes=settings.output_bytes
            )
            output = outcome.output.decode(errors="replace")
            call.summary = f"{outcome.reason}, status {outcome.exit_code}, {len(output)} characters of output"
            _check(outcome, output[-SHOWN_CHARS:])
        return output


def _check(outcome: Outcome, end: str) -> None:
    if outcome.succeeded:
        return
    if outcome.reason == "timed_out":
        raise CommandTimedOut(f"the command was killed after {outcome.receipt.wall_s:.1f} s; it said: {end}")
    if outcome.reason == "completed":
        raise CommandFailed(f"the command ended with status {outcome.exit_code}: {end}")
    by = f" by signal {outcome.signal}" if outcome.signal else ""
    raise CommandStopped(f"the command was stopped{by}: {outcome.reason}; it said: {end}")
