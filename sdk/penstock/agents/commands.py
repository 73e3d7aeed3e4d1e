"""What came of a command that ran in the sandbox, as an agent sees it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from penstock_schemas.records import PayloadRef

Reason = Literal[
    "completed",
    "timed_out",
    "out_of_memory",
    "too_many_processes",
    "quota_exceeded",
    "killed",
    "policy_denied",
]
"""Why a command ended. `completed` says nothing about success: that is `exit_code` 0."""

OUTPUT_BYTES = 256 * 1024
"""How much of a command's output is kept unless the caller says otherwise."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a command used."""

    cpu_s: float
    """CPU time of all its processes and of what carries its network, the kernel's share included."""
    peak_memory_bytes: int
    """The most it held at once, page cache included, as the kernel charges it; and the most that what carries its
    network did."""
    gb_seconds: float
    """`peak_memory_bytes` / 10^9 times `wall_s`."""
    bytes_written: int
    """What the tenant's volume grew by while it ran; what it deleted again does not count."""
    wall_s: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a command ended."""

    reason: Reason
    exit_code: int | None
    """None where a signal or a limit ended it."""
    signal: int | None
    output: bytes
    """The end of stdout and stderr as they came."""
    truncated: bool
    """Whether there was more output before `output`."""
    receipt: Receipt

    @property
    def succeeded(self) -> bool:
        """Whether the command ended by itself with status 0, within all its limits."""
        return self.reason == "completed" and self.exit_code == 0


@dataclass(frozen=True, slots=True)
class Kept:
    """A file of the workspace that was put into the artifact store."""

    path: str
    """Below the workspace."""
    ref: PayloadRef


class Sandboxed(Protocol):
    """The sandbox and the workspace of one attempt."""

    def prepare(self) -> Path:
        """The workspace; made, and filled with the project's files, when first asked for."""
        ...

    async def run(
        self, argv: Sequence[str], *, stdin: bytes | None, timeout_s: float | None, output_bytes: int
    ) -> Outcome:
        """Run `argv` in the sandbox to its end."""
        ...

    async def keep(self, patterns: Sequence[str]) -> Sequence[Kept]:
        """Put the files that match into the artifact store."""
        ...
