"""What an agent is given: its task, a folder to work in, and ways to report what it does."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any

from penstock.agents._records import note, now_us, pieces, valid
from penstock.agents.attempt import Attempt
from penstock.agents.calls import ProviderCall, ProviderCalls, Report
from penstock.agents.commands import OUTPUT_BYTES, Kept, Outcome, Sandboxed
from penstock.errors import SandboxUnavailable
from penstock_schemas import records as r
from penstock_schemas.ids import derived_id
from penstock_schemas.topics import MAX_INLINE_BYTES

SANDBOX_MODEL = "sandbox"
"""Under this name commands are priced: by the call, the CPU-second and the GB-second."""


@dataclass(slots=True)
class ToolCall:
    """An ongoing tool call; set `summary` to say what came of it."""

    summary: str | None = None


class AgentContext:
    """One attempt, from the agent's side.

    Every report goes out in the order of the calls. Reports raise `InvalidInput` for values the contract does
    not allow, such as a fraction above 1.

    Args:
        attempt: what was asked.
        workspace: folder of this attempt alone where there is no sandbox; removed afterwards.
        report: where the records go.
        sandboxed: makes the workspace and runs commands in it; None where there is no sandbox, and then the
            workspace is a plain folder and commands are refused.
    """

    def __init__(
        self, attempt: Attempt, workspace: Path, report: Report, sandboxed: Sandboxed | None = None
    ) -> None:
        self.execution_id = attempt.execution_id
        self.epoch = attempt.epoch
        """Number of this attempt, from 1."""
        self.tenant_id = attempt.tenant_id
        self.user_id = attempt.user_id
        self.agent_type = attempt.agent_type
        self.input = attempt.input
        self.model = attempt.model
        """The model the request asks for; None leaves it to the agent."""
        self.max_tokens = attempt.max_tokens
        self.metadata = attempt.metadata
        self.conversation_id = attempt.conversation_id
        """The conversation this run is a turn of; None where it is of none."""
        self.turn_number = attempt.turn_number
        self.history = attempt.history
        """The conversation's latest turns, oldest first, as far as the operator's window for the agent goes."""
        self.pipeline_id = attempt.pipeline_id
        """The pipeline this run is a stage of; None where it is of none."""
        self.previous_outputs = attempt.previous_outputs
        """What the stages of all earlier steps answered, in the order of the definition."""
        self._workspace = workspace
        self._sandboxed = sandboxed
        self._report = report
        self._seq = 0
        self._calls = ProviderCalls(attempt, report)
        self._step_number = 0
        self._cancelled = False

    @property
    def workspace(self) -> Path:
        """A folder of this attempt alone, made when first asked for and removed afterwards.

        It belongs to the sandbox's user, who may put symbolic links anywhere in it: open what a command left there
        with `penstock_services.workspaces.beneath`, or let a command print it.

        Raises:
            WorkspaceError: it cannot be made, or the project does not fit.
        """
        if self._sandboxed is not None:
            return self._sandboxed.prepare()
        self._workspace.mkdir(parents=True, exist_ok=True)
        return self._workspace

    @property
    def runs_commands(self) -> bool:
        """Whether there is a sandbox for this run."""
        return self._sandboxed is not None

    async def run_command(
        self,
        argv: Sequence[str],
        *,
        stdin: bytes | None = None,
        timeout_s: float | None = None,
        output_bytes: int = OUTPUT_BYTES,
    ) -> Outcome:
        """Run a command in the sandbox, with the workspace as its working folder; what it used is billed.

        Args:
            argv: command and arguments, such as `["sh", "-c", "..."]`.
            stdin: all it can read; by default nothing.
            timeout_s: killed after this, or after the tier's time where that is shorter.
            output_bytes: how much of the end of its output is kept.

        Raises:
            SandboxError: nothing was run: no sandbox here, or no workspace.
        """
        outcome = await self._sandbox().run(argv, stdin=stdin, timeout_s=timeout_s, output_bytes=output_bytes)
        used = outcome.receipt
        await self.record_usage(
            SANDBOX_MODEL,
            0,
            0,
            tool_calls=1,
            sandbox_cpu_ms=ceil(used.cpu_s * 1000),
            sandbox_gb_ms=ceil(used.gb_seconds * 1000),
        )
        return outcome

    async def keep_artifacts(self, *patterns: str) -> Sequence[Kept]:
        """Put files of the workspace whose path matches (`*.csv`, `out/*`) into the artifact store.

        Once the run's result is accepted they are the execution's artifacts (`penstock artifacts ID`), each path
        as it was kept last. At most 1,000 files, 64 MiB each and 512 MiB together, over all calls of an attempt.

        Raises:
            SandboxError: no sandbox here, a pattern that leads out of the workspace, or too many files.
            PayloadTooLarge: they are larger than what is kept.
            ArtifactStoreUnreachable: the store could not be written.
        """
        kept = await self._sandbox().keep(patterns)
        for file in kept:
            await self._tell(r.ArtifactKept, path=file.path, sha256=file.ref.sha256, size_bytes=file.ref.size)
        return kept

    def _sandbox(self) -> Sandboxed:
        if self._sandboxed is None:
            raise SandboxUnavailable(
                "this worker runs no commands of this run: it has no sandbox for its tier (PENSTOCK_WORKER_TIERS)"
            )
        return self._sandboxed

    @property
    def cancelled(self) -> bool:
        """True once the worker will end this attempt in a moment: stop spending, report usage, return."""
        return self._cancelled

    def cancel(self) -> None:
        """The worker's: the attempt is about to be ended."""
        self._cancelled = True

    async def progress(self, message: str, fraction: float | None = None) -> None:
        """Report how far the run is; `fraction` from 0 to 1."""
        await self._tell(r.ProgressReported, message=note(message), fraction=fraction)

    @asynccontextmanager
    async def step(self, name: str, type: str = "task") -> AsyncIterator[None]:
        """Report a step around the body: its start, and its end with `ok` or `error` and its duration."""
        self._step_number += 1
        number, started_ns = self._step_number, time.monotonic_ns()

        async def finished(status: str, error: str | None = None) -> None:
            await self._tell(
                r.StepFinished,
                step_number=number,
                step_type=note(type),
                status=status,
                duration_ms=_ms_since(started_ns),
                error=error,
            )

        await self._tell(r.StepStarted, step_number=number, step_type=note(type), name=note(name))
        try:
            yield
        except (Exception, asyncio.CancelledError) as exc:
            await finished("error", note(f"{exc.__class__.__name__}: {exc}"))
            raise
        await finished("ok")

    @asynccontextmanager
    async def tool(self, name: str) -> AsyncIterator[ToolCall]:
        """Report one tool call once the body ends: `success` or `error`, its duration, and its summary."""
        call, started_ns = ToolCall(), time.monotonic_ns()

        async def called(status: str, summary: str | None) -> None:
            await self._tell(
                r.ToolCalled,
                tool_name=note(name),
                status=status,
                duration_ms=_ms_since(started_ns),
                summary=None if summary is None else note(summary),
            )

        try:
            yield call
        except (Exception, asyncio.CancelledError) as exc:
            await called("error", f"{exc.__class__.__name__}: {exc}")
            raise
        await called("success", call.summary)

    async def emit(self, text: str) -> None:
        """Stream a piece of output before the result; a long text goes out in several pieces."""
        for piece in pieces(text, MAX_INLINE_BYTES):
            await self._tell(r.OutputEmitted, text=piece)

    @property
    def tokens_left(self) -> int | None:
        """What is left of the tokens reserved for this execution, of all kinds, as far as this attempt knows; None
        where nothing bounds it."""
        return self._calls.tokens_left

    @asynccontextmanager
    async def call(self, model: str, max_tokens: int | None = None) -> AsyncIterator[ProviderCall]:
        """One provider call, around which nothing can be spent unseen.

        The body begins once Kafka knows of the call; it makes the call without retries of its own and passes what
        the provider reports to `used`. Where it does not (the answer was lost), what the call may have cost stays
        reserved, and the operator sees it as unresolved.

        Args:
            model: the name it is priced under.
            max_tokens: the most the call should use, of all kinds; what is left of the reservation bounds it too.

        Raises:
            ReservationUsedUp: nothing is left; the execution fails for good.
        """
        async with self._calls.call(model, max_tokens) as call:
            yield call

    async def record_usage(
        self,
        model: str,
        input_tokens: int,
        output_tokens: int,
        *,
        cache_read_tokens: int = 0,
        cache_write_tokens: int = 0,
        reasoning_tokens: int = 0,
        tool_calls: int = 0,
        sandbox_cpu_ms: int = 0,
        sandbox_gb_ms: int = 0,
    ) -> None:
        """Report one provider call that was not announced; it is billed once. Prefer `call`.

        Args:
            model: the name it is priced under.
            input_tokens: uncached input only; the input buckets are disjoint.
            output_tokens: reasoning included.
            cache_read_tokens: input the provider served from its cache.
            cache_write_tokens: input the provider wrote to its cache.
            reasoning_tokens: the part of `output_tokens` that was reasoning.
            tool_calls: of tools that are paid for one by one.
            sandbox_cpu_ms: CPU time in a sandbox.
            sandbox_gb_ms: gigabytes of memory times milliseconds in a sandbox.
        """
        call = self._calls.unannounced(model)
        call.used(
            input_tokens,
            output_tokens,
            cache_read_tokens=cache_read_tokens,
            cache_write_tokens=cache_write_tokens,
            reasoning_tokens=reasoning_tokens,
            tool_calls=tool_calls,
            sandbox_cpu_ms=sandbox_cpu_ms,
            sandbox_gb_ms=sandbox_gb_ms,
        )
        await self._calls.report(call)

    async def _tell(self, record_type: type[r.ProgressRecord], **fields: Any) -> None:
        record = valid(
            record_type,
            event_id=derived_id("progress", self.execution_id, self.epoch, self._seq + 1),
            tenant_id=self.tenant_id,
            occurred_at=now_us(),
            execution_id=self.execution_id,
            epoch=self.epoch,
            seq=self._seq + 1,
            **fields,
        )
        self._seq += 1  # only now: a refused value leaves no gap
        await self._report(record)


def _ms_since(started_ns: int) -> int:
    return (time.monotonic_ns() - started_ns) // 1_000_000
