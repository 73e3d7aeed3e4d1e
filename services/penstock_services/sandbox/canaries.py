"""Trying on this host that each limit of a tier holds: what a worker does before it takes work, and
`penstock verify isolation`.

A canary is a small program that tries to get past one limit. It runs in a sandbox and a workspace like any other,
and is judged from outside wherever that can be seen from outside.
"""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from penstock.agents.commands import Outcome
from penstock.errors import SandboxError, SandboxUnavailable
from penstock_services.sandbox import probes
from penstock_services.sandbox.host import found_network_tools, require_host
from penstock_services.sandbox.network_canaries import try_change, try_reach
from penstock_services.sandbox.policies import Policies, Policy
from penstock_services.sandbox.runtime import Runtime
from penstock_services.sandbox.sandbox import Sandbox
from penstock_services.sandbox.settings import SandboxSettings
from penstock_services.sandbox.users import claimed_uid
from penstock_services.workspaces import Workspace, Workspaces

CANARY_TENANT = "penstock-canary"
TIMEOUT_CANARY_S = 0.5
MEMORY_CANARY_BYTES = 64 * 1024 * 1024
"""The control group is the same for any limit, and a worker that starts should not take gigabytes to see that."""
LATE_S = 5.0
"""A kill that comes later than this after its time does not hold; how exact it is, the benchmark measures."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What came of one canary."""

    tier: str
    limit: str
    enforced_by: str
    tried: str
    held: bool
    seen: str
    """What the canary saw, where it got through or was not run."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where canaries of one tier run."""

    policy: Policy
    workspace: Workspace
    sandbox: Sandbox

    def with_policy(self, **changes: object) -> Sandbox:
        """The same place under a policy that differs."""
        return self.sandbox.under(replace(self.policy, **changes))  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Canary:
    """One limit, how it is enforced, and a program that tries to get past it."""

    limit: str
    enforced_by: str
    tried: str
    attempt: Callable[[Place], Awaitable[str]]
    """Returns what got through; empty where nothing did."""


async def try_tier(settings: SandboxSettings, policies: Policies, tier: str) -> list[Finding]:
    """Run every canary of one tier.

    Raises:
        SandboxUnavailable: what all of them need is missing.
    """
    require_host()
    policy, networked = replace(policies.of(tier), network=False), policies.networked(tier)
    uid = claimed_uid(settings.folder / "users", settings.first_uid)
    workspaces = Workspaces(settings.workspaces)
    # A tenant of its own: two workers that start at once must not share a volume's quota.
    tenant = f"{CANARY_TENANT}-{os.getpid()}-{secrets.token_hex(4)}"
    runtime = Runtime(settings.folder / "runtime", policies.runtime)
    if networked:
        found_network_tools()
    small = replace(policy, quota_bytes=probes.CANARY_QUOTA_BYTES)
    sandbox_of = Sandbox(
        policy, Path("/"), uid, runtime=runtime
    )  # what is missing is said before anything is made
    workspace = await asyncio.to_thread(workspaces.create, tenant, tier, quota_bytes=small.quota_bytes, uid=uid)
    try:
        place = Place(policy, workspace, sandbox_of.within(workspace.path))
        return [await _find(canary, place) for canary in (*(NETWORK_CANARIES if networked else ()), *CANARIES)]
    finally:
        await asyncio.to_thread(workspaces.remove, tenant, tier)


async def check_tiers(settings: SandboxSettings, policies: Policies, tiers: Iterable[str]) -> None:
    """Try all tiers at once.

    Raises:
        SandboxUnavailable: one does not hold; the message names the tier, the limit and what was seen.
    """
    hint = "set PENSTOCK_WORKER_TIERS to the tiers this host can hold, or to nothing to run no commands here"
    names = sorted(tiers)
    unknown = [name for name in names if name not in policies]
    if unknown:
        raise SandboxUnavailable(
            f"there is no sandbox policy for tier {unknown[0]!r}; known: {', '.join(policies)}"
        )
    results = await asyncio.gather(*(try_tier(settings, policies, name) for name in names), return_exceptions=True)
    for name, result in zip(names, results, strict=True):
        if isinstance(result, SandboxError):
            raise SandboxUnavailable(f"tier {name} cannot be served here: {result}; {hint}") from result
        if isinstance(result, BaseException):
            raise result
        for finding in result:
            if not finding.held:
                raise SandboxUnavailable(
                    f"tier {name} cannot be served here: {finding.limit} does not hold ({finding.tried}: "
                    f"{finding.seen}); {hint}"
                )


async def _find(canary: Canary, place: Place) -> Finding:
    try:
        seen = await canary.attempt(place)
    except SandboxUnavailable:
        raise
    except SandboxError as exc:
        seen = str(exc)
    return Finding(
        place.policy.tier, canary.limit, canary.enforced_by, canary.tried, not seen, " ".join(seen.split())[-300:]
    )


def _unless(outcome: Outcome, *reasons: str) -> str:
    """What to say of an outcome that should have ended for one of `reasons`."""
    if outcome.reason in reasons:
        return ""
    return (
        f"ended as {outcome.reason}, status {outcome.exit_code}: {outcome.output.decode(errors='replace')[-200:]}"
    )


async def _inside(place: Place) -> str:
    outcome = await place.sandbox.run(["python3", "-I", "-S", "-c", probes.INSIDE, *sorted(place.policy.left_out)])
    return (
        ""
        if outcome.succeeded and outcome.output == b""
        else (outcome.output.decode(errors="replace") or f"{outcome.reason}, status {outcome.exit_code}")
    )


async def _memory(place: Place) -> str:
    limit_bytes = min(place.policy.memory_bytes, MEMORY_CANARY_BYTES)
    sandbox, amount = place.with_policy(memory_bytes=limit_bytes), str(limit_bytes + probes.OVER_BYTES)
    return _unless(await sandbox.run(["python3", "-I", "-S", "-c", probes.MEMORY, amount]), "out_of_memory")


async def _processes(place: Place) -> str:
    program = probes.PROCESSES
    outcome = await place.sandbox.run(["python3", "-I", "-S", "-c", program, str(place.policy.processes)])
    return _unless(outcome, "too_many_processes") or (
        "" if outcome.exit_code == 0 else outcome.output.decode(errors="replace")[-200:]
    )


async def _time(place: Place) -> str:
    sandbox = place.with_policy(timeout_s=TIMEOUT_CANARY_S)
    outcome = await sandbox.run(["sh", "-c", "setsid sleep 1000 & exec sleep 1000"])
    late = outcome.receipt.wall_s > TIMEOUT_CANARY_S + LATE_S
    return _unless(outcome, "timed_out") or (f"killed after {outcome.receipt.wall_s:.1f} s" if late else "")


async def _disk(place: Place) -> str:
    outcome = await place.sandbox.run(["dd", "if=/dev/zero", "of=big", "bs=64k", "count=1024"])
    return _unless(outcome, "quota_exceeded")


async def _reach(place: Place) -> str:
    return await try_reach(place.with_policy(network=True))


async def _change(place: Place) -> str:
    return await try_change(place.with_policy(network=True))


async def _environment(place: Place) -> str:
    name, value = f"PENSTOCK_CANARY_{secrets.token_hex(4)}", secrets.token_hex(16)
    os.environ[name] = value
    try:
        outcome = await place.sandbox.run(["sh", "-c", "env; cat /proc/*/environ /proc/*/cmdline"])
    finally:
        del os.environ[name]
    return "the worker's environment was seen" if value.encode() in outcome.output else ""


NETWORK_CANARIES = (
    Canary("network: reach", "nftables in its namespace", "this host's servers, private ranges, metadata", _reach),
    Canary("network: rules", "no right in its namespace", "to change interface, address, route", _change),
)
"""Besides the others, where the operator's policies allow a network."""
CANARIES = (
    Canary("files, network, kernel", "namespaces, seccomp", "a program of attempts from inside", _inside),
    Canary("environment", "scrubbed before exec", "planted a secret, read /proc/*/environ", _environment),
    Canary("memory", "control group", "touched 16 MiB above 64 MiB", _memory),
    Canary("processes", "control group", "forked on: exactly as many as the tier may", _processes),
    Canary("time", "SIGKILL of the control group", "slept on, in a session of its own", _time),
    Canary("disk quota", "sized file system", "wrote more than the volume", _disk),
)
"""In the order in which they run; the last fills the volume."""
