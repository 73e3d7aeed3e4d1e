"""Running one command where it can reach nothing but its workspace."""

from __future__ import annotations

import asyncio
import os
import subprocess
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

from penstock.agents.commands import OUTPUT_BYTES, Outcome, Receipt
from penstock.errors import InvalidInput, SandboxFailed
from penstock_services.sandbox import command_line, seccomp
from penstock_services.sandbox.capture import Capture
from penstock_services.sandbox.cgroups import Hierarchy, prepared_hierarchy
from penstock_services.sandbox.disk import is_full, volume_bytes
from penstock_services.sandbox.groups import Counts, Group
from penstock_services.sandbox.host import check_user_namespaces, found_bwrap, found_network_tools
from penstock_services.sandbox.network import CommandNetwork, network_of
from penstock_services.sandbox.owners import this_process
from penstock_services.sandbox.policies import Policy
from penstock_services.sandbox.processes import memory_file, until_ended
from penstock_services.sandbox.runtime import Runtime
from penstock_services.sandbox.settings import SandboxSettings
from penstock_services.sandbox.verdict import Seen, ending

EMPTYING_S = 5.0
"""Killed processes have let go of their output within this."""
STATUS_BYTES = 65536
"""More than bubblewrap reports."""
NOTHING = Counts(0.0, 0, 0, 0)
"""What the network of a command without one used."""


class Sandbox:
    """Commands of one policy in one workspace, run as one user; may run several at a time.

    Args:
        policy: what they may do.
        workspace: the folder they see as `/workspace`, of the user `uid`; its parents are open to all users (o+x).
        uid: the slot's user, not root.
        runtime: the commands and libraries they see; this host's by default.
        hierarchy: this host's control groups; found by default.
    """

    def __init__(
        self,
        policy: Policy,
        workspace: Path,
        uid: int,
        *,
        runtime: Runtime | None = None,
        hierarchy: Hierarchy | None = None,
    ) -> None:
        if uid <= 0:
            raise InvalidInput(f"a sandbox cannot run as user {uid}; give it a user that nobody else has")
        self._policy = policy
        self.workspace = workspace
        self._uid = uid
        self._runtime = runtime or Runtime(SandboxSettings().folder / "runtime")
        check_user_namespaces()
        self._bwrap = found_bwrap()
        if policy.network:
            found_network_tools()
        self._hierarchy = hierarchy or prepared_hierarchy()

    def under(self, policy: Policy) -> Sandbox:
        """The same under another policy."""
        return Sandbox(policy, self.workspace, self._uid, runtime=self._runtime, hierarchy=self._hierarchy)

    def within(self, workspace: Path) -> Sandbox:
        """The same in another workspace of the same user."""
        return Sandbox(self._policy, workspace, self._uid, runtime=self._runtime, hierarchy=self._hierarchy)

    async def run(
        self,
        argv: Sequence[str],
        *,
        stdin: bytes | None = None,
        timeout_s: float | None = None,
        output_bytes: int = OUTPUT_BYTES,
    ) -> Outcome:
        """Run `argv` to its end; nothing it started outlives this call, cancelled or not.

        Args:
            argv: command and arguments; the command is looked up in the runtime.
            stdin: all it can read; by default nothing.
            timeout_s: killed after this, or after the policy's time where that is shorter.
            output_bytes: how much of the end of its output is kept.

        Raises:
            InvalidInput: no command, or a NUL in it.
            SandboxUnavailable: this host lacks something the sandbox needs.
            SandboxFailed: the sandbox could not be set up; nothing was run.
        """
        if not argv or any("\0" in word for word in argv) or not argv[0]:
            raise InvalidInput(f"{list(argv)!r} is no command: it needs at least a name, and no NUL")
        if timeout_s is not None and timeout_s <= 0:
            raise InvalidInput(f"timeout_s is {timeout_s:g}; it must be above 0")
        limit_s = min(self._policy.timeout_s, timeout_s or self._policy.timeout_s)
        group = self._hierarchy.group(
            this_process(),
            memory_bytes=self._policy.memory_bytes,
            processes=self._policy.processes + command_line.OWN_PROCESSES,
        )
        try:
            if not self._policy.network:
                return await self._run_in(group, argv, stdin, limit_s, output_bytes, None)
            async with network_of(self._policy, self._hierarchy, self._uid) as network:
                return await self._run_in(group, argv, stdin, limit_s, output_bytes, network)
        finally:
            await asyncio.to_thread(group.remove)

    async def _run_in(
        self,
        group: Group,
        argv: Sequence[str],
        stdin: bytes | None,
        limit_s: float,
        output_bytes: int,
        network: CommandNetwork | None,
    ) -> Outcome:
        started_s, before_bytes = time.monotonic(), volume_bytes(self.workspace)
        with ExitStack() as ours:
            with ExitStack() as theirs:
                output_fd, their_output_fd = os.pipe2(os.O_CLOEXEC)
                theirs.callback(os.close, their_output_fd)
                capture = Capture(output_fd, output_bytes)
                ours.callback(capture.close)
                status_fd, their_status_fd = os.pipe2(os.O_CLOEXEC)
                theirs.callback(os.close, their_status_fd)
                ours.callback(os.close, status_fd)
                process = self._start(group, argv, stdin, their_output_fd, their_status_fd, theirs, network)
            try:
                ended = await until_ended(process, group, limit_s)
            finally:
                group.kill()
            await asyncio.wait([capture.over], timeout=EMPTYING_S)
            await asyncio.to_thread(group.empty)
            wall_s = time.monotonic() - started_s
            counts = group.counts()
            carried = network.group.counts() if network else NOTHING
            os.set_blocking(status_fd, False)
            with suppress(BlockingIOError):
                status = os.read(status_fd, STATUS_BYTES)
        seen = Seen(ended.timed_out, is_full(self.workspace), counts, status, ended.status, capture.output)
        end = ending(self._policy, argv, seen)
        peak_memory_bytes = counts.peak_memory_bytes + carried.peak_memory_bytes
        return Outcome(
            end.reason,
            end.exit_code,
            end.signal,
            capture.output,
            capture.truncated,
            Receipt(
                cpu_s=counts.cpu_s + carried.cpu_s,
                peak_memory_bytes=peak_memory_bytes,
                gb_seconds=peak_memory_bytes / 1e9 * wall_s,
                bytes_written=max(0, volume_bytes(self.workspace) - before_bytes),
                wall_s=wall_s,
            ),
        )

    def _start(
        self,
        group: Group,
        argv: Sequence[str],
        stdin: bytes | None,
        output_fd: int,
        status_fd: int,
        theirs: ExitStack,
        network: CommandNetwork | None,
    ) -> subprocess.Popen[bytes]:
        seccomp_fds = [memory_file(program, theirs) for program in seccomp.programs()]
        shown = self._runtime.shown(self._policy)
        files = {inside: memory_file(text, theirs) for inside, text in network.files.items()} if network else {}
        options = command_line.bwrap_options(
            self._policy, str(self.workspace), shown, seccomp_fds, status_fd, files
        )
        options_fd = memory_file("\0".join(options).encode() + b"\0", theirs)
        try:
            return subprocess.Popen(
                command_line.launch(
                    group.entrances, self._uid, self._bwrap, options_fd, argv, network.entering if network else ()
                ),
                stdin=subprocess.DEVNULL if stdin is None else memory_file(stdin, theirs),
                stdout=output_fd,
                stderr=output_fd,
                pass_fds=(options_fd, *seccomp_fds, *files.values(), status_fd),
                env=command_line.environment(),
                cwd="/",
            )
        except (OSError, ValueError) as exc:  # an argument list that is too long, or no process left for us
            raise SandboxFailed(f"{argv[0][:100]!r} cannot be started: {exc}") from exc
