"""What an agent is given: its task, a folder to work in, and ways to report what it does."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from penstock.agents._records import note, now_us, pieces, valid
from penstock.agents.attempt import Attempt
from penstock.errors import InvalidInput
from penstock_schemas import records as r
from penstock_schemas.ids import derived_id, usage_id
from penstock_schemas.topics import MAX_INLINE_BYTES

Report = Callable[[r.ProgressRecord | r.RecordUsage], Awaitable[None]]
"""Takes one record of a run; returns once it is on its way out of the agent's process."""


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
        workspace: folder of this attempt alone; removed afterwards.
        report: where the records go.
    """

    def __init__(self, attempt: Attempt, workspace: Path, report: Report) -> None:
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
        self._workspace = workspace
        self._report = report
        self._seq = 0
        self._call_seq = 0
        self._step_number = 0
        self._cancelled = False

    @property
    def workspace(self) -> Path:
        """A folder of this attempt alone, made when first asked for and removed afterwards."""
        self._workspace.mkdir(parents=True, exist_ok=True)
        return self._workspace

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

    async def record_usage(
        self,
        model: str,
        input_tokens: int,
        output_tokens: int,
        *,
        cache_read_tokens: int = 0,
        cache_write_tokens: int = 0,
        reasoning_tokens: int = 0,
    ) -> None:
        """Report one provider call; it is billed once.

        Args:
            model: the name it is priced under.
            input_tokens: uncached input only; the input buckets are disjoint.
            output_tokens: reasoning included.
            cache_read_tokens: input the provider served from its cache.
            cache_write_tokens: input the provider wrote to its cache.
            reasoning_tokens: the part of `output_tokens` that was reasoning.
        """
        counts = {
            "input_tokens": input_tokens,
            "cache_read_tokens": cache_read_tokens,
            "cache_write_tokens": cache_write_tokens,
            "output_tokens": output_tokens,
            "reasoning_tokens": reasoning_tokens,
        }
        for bucket, tokens in counts.items():
            if tokens < 0:
                raise InvalidInput(f"{bucket} is {tokens}; a provider call cannot use fewer than 0 tokens")
        if reasoning_tokens > output_tokens:
            raise InvalidInput(f"reasoning_tokens {reasoning_tokens} are part of output_tokens, {output_tokens}")
        self._call_seq += 1
        identity = usage_id(self.tenant_id, self.execution_id, self.epoch, self._call_seq)
        await self._report(
            valid(
                r.RecordUsage,
                event_id=identity,
                tenant_id=self.tenant_id,
                occurred_at=now_us(),
                usage_id=identity,
                execution_id=self.execution_id,
                epoch=self.epoch,
                call_seq=self._call_seq,
                user_id=self.user_id,
                agent_type=self.agent_type,
                model=model,
                **counts,
            )
        )

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
