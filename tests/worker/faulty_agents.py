"""Agents that do what agents should not, and a few that behave; registered by the fixture `agents_on_path`."""

import asyncio
import os
import re
import signal
import subprocess
import sys

from opentelemetry import trace

from penstock.agents import AgentContext, PermanentAgentError, RetryableAgentError


class Works:
    """One step, one call of a model, its input as output."""

    async def run(self, context: AgentContext) -> str:
        async with context.step("work"):
            await context.progress("half", 0.5)
            await context.record_usage("gpt-4", input_tokens=10, output_tokens=20)
        return context.input


class TellsItsTrace:
    """Returns the position in the trace that code it calls finds, in its own task or in a thread."""

    async def run(self, context: AgentContext) -> str:
        here = trace.get_current_span().get_span_context()
        there = await asyncio.to_thread(lambda: trace.get_current_span().get_span_context())
        return f"{here.trace_id:032x} {here.span_id:016x} {here == there}"


class Blocks:
    """Reports its process and one call, then blocks its event loop for ever."""

    async def run(self, context: AgentContext) -> str:
        await context.record_usage("gpt-4", input_tokens=1, output_tokens=1)
        await context.progress(str(os.getpid()))
        while True:
            subprocess.run(["/bin/sleep", "1000"])  # noqa: ASYNC221 (that is the fault)


class HoldsTheGil:
    """A regular expression that backtracks for longer than any test."""

    async def run(self, context: AgentContext) -> str:
        return str(re.match(r"(a+)+$", "a" * 64 + "b"))


class Waits:
    """Waits for its input in seconds, awake to everything else."""

    async def run(self, context: AgentContext) -> str:
        await context.progress(str(os.getpid()))
        await asyncio.sleep(float(context.input))
        return "waited"


class WaitsForFile:
    """Says which file it waits for."""

    async def run(self, context: AgentContext) -> str:
        awaited = context.workspace / "go"
        await context.progress(str(awaited))
        while not awaited.exists():
            await asyncio.sleep(0.01)
        return "it came"


class NeedsFile:
    """Fails for good unless the file its input names is there."""

    async def run(self, context: AgentContext) -> str:
        if not os.path.exists(context.input):  # noqa: ASYNC240 (a look)
            raise ValueError(f"no such file: {context.input}")
        return f"found {context.input}"


class Listens:
    """Works until it is told that it is cancelled, reports what it used, and returns half a result."""

    async def run(self, context: AgentContext) -> str:
        await context.progress(str(os.getpid()))
        while not context.cancelled:
            await asyncio.sleep(0.01)
        await context.record_usage("gpt-4", input_tokens=7, output_tokens=7)
        return "half"


class ReturnsFiveMebibytes:
    async def run(self, context: AgentContext) -> str:
        return "x" * (5 * 1024 * 1024)


class RaisesBase:
    async def run(self, context: AgentContext) -> str:
        raise KeyboardInterrupt("not an Exception")


class ReturnsNumber:
    async def run(self, context: AgentContext) -> str:
        return 42  # type: ignore[return-value]


class ReturnsSurrogate:
    async def run(self, context: AgentContext) -> str:
        return "\ud800"


class Exits:
    async def run(self, context: AgentContext) -> str:
        sys.exit("enough")


class Crashes:
    async def run(self, context: AgentContext) -> str:
        os._exit(9)


class Fails:
    async def run(self, context: AgentContext) -> str:
        raise ValueError("not my day")


class FailsForNow:
    async def run(self, context: AgentContext) -> str:
        raise RetryableAgentError("the provider is away")


class FindsNoRoom:
    async def run(self, context: AgentContext) -> str:
        with open("/dev/full", "wb", buffering=0) as full:  # noqa: ASYNC230 (agents may)
            full.write(b"x")
        return "written"


class Prints:
    """Writes to every descriptor that might be the protocol's."""

    async def run(self, context: AgentContext) -> str:
        print("to stdout")
        os.write(1, b"\x00\x00\x00\x05hello\n")
        return "printed"


class LeavesChild:
    """Returns the pid of a process it leaves running."""

    async def run(self, context: AgentContext) -> str:
        return str(subprocess.Popen(["/bin/sleep", "1000"]).pid)  # noqa: ASYNC220 (that is the fault)


class LeavesDaemon:
    """Returns the pid of a process it leaves running, an orphan in a session of its own."""

    async def run(self, context: AgentContext) -> str:
        shell = ["/bin/sh", "-c", "setsid sleep 1000 >/dev/null 2>&1 & echo $!"]
        return subprocess.run(shell, capture_output=True, text=True, check=True).stdout.strip()  # noqa: ASYNC221


class WritesFile:
    """Uses its folder and says where it is."""

    async def run(self, context: AgentContext) -> str:
        (context.workspace / "note").write_text("mine")
        return str(context.workspace)


class KilledWhileCalling:
    """Takes its whole worker down between a provider's answer and the report of it."""

    async def run(self, context: AgentContext) -> str:
        async with context.call("gpt-4", max_tokens=500) as call:
            os.kill(os.getppid(), signal.SIGKILL)
            await asyncio.sleep(60)
            call.used(100, 10)
        return ""


class Recalls:
    """Returns what it was told of the conversation so far."""

    async def run(self, context: AgentContext) -> str:
        said = [f"{p.turn_number} {p.role} {p.content} {p.said_at.timestamp()}" for p in context.history]
        return f"{context.conversation_id} {context.turn_number}: {', '.join(said)}"


class WorksWithCommands:
    """Hands a file to a command and keeps what it made."""

    async def run(self, context: AgentContext) -> str:
        (context.workspace / "in.txt").write_text("b\na\n")
        outcome = await context.run_command(["sh", "-c", "sort in.txt > out.txt; cat project.txt"])
        (kept,) = await context.keep_artifacts("out.txt")
        made, said = (context.workspace / "out.txt").read_text(), outcome.output.decode()
        return f"{made}{said}{kept.ref.size} {context.workspace}"


class FillsItsWorkspace:
    """Writes until its tenant's quota is used up."""

    async def run(self, context: AgentContext) -> str:
        with open(context.workspace / "big", "wb") as file:  # noqa: ASYNC230 (agents may)
            while True:
                file.write(b"x" * (1 << 20))


class KeepsTwice:
    """Keeps one file as it was and as it became; fails afterwards where its input says so."""

    async def run(self, context: AgentContext) -> str:
        for text in ("one", "second"):
            (context.workspace / "out.txt").write_text(text)
            await context.keep_artifacts("*.txt")
        if context.input == "fail":
            raise PermanentAgentError("after it kept a file")
        return ""
