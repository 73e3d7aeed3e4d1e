"""Running one case: guarded, or as its control."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from signal import SIGSYS

from penstock.agents.commands import Outcome, Receipt
from penstock.errors import SandboxFailed
from penstock_services.sandbox import Sandbox
from tests.isolation import programs
from tests.isolation.case import ALLOWED, Case, nothing
from tests.isolation.guards import Guard
from tests.isolation.networks import in_network_of_its_own
from tests.isolation.place import Place
from tests.isolation.scene import Scene
from tests.isolation.swaps import loosened, taken_away

READY_WITHIN_S = 15.0
BEYOND_S = 0.5
"""How long after its limit a control without one is looked at."""
UNENDED = Outcome("killed", None, None, b"", False, Receipt(0, 0, 0, 0, 0))
"""Of a control that has no time limit, or that did not survive its own attack."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of one attack."""

    escaped: str | None
    """None: it held."""
    tried: bool
    """The program came to its end, or was ended as the case says: otherwise nothing was proved."""
    outcome: Outcome

    def __str__(self) -> str:
        said = self.outcome.output.decode(errors="replace")[-1500:]
        how = f"{self.outcome.reason} {self.outcome.exit_code}/{self.outcome.signal}"
        return f"escaped: {self.escaped}; {how}: {said}"


def run(case: Case, place: Place, tier: str = "free", *, control: bool = False) -> Verdict:
    """One case on this host; `control` takes its guards away."""

    def action() -> Verdict:
        return asyncio.run(_run(case, place, tier, control))

    place.restore()  # here: what is mounted on the host of `outside` is seen there alone
    if case.area == ALLOWED:
        return place.outside.on_host(action)
    return in_network_of_its_own(action) if case.area == "network" else action()


async def _run(case: Case, place: Place, tier: str, control: bool) -> Verdict:
    away = frozenset(case.weakened) | (frozenset(case.guards) if control else frozenset())
    policy = place.policy(tier)
    if case.area == ALLOWED:
        policy = replace(policy, network=True, network_hosts=case.network_hosts)
    policy = loosened(policy, away)
    unlimited = Guard.OUTPUT in away
    with place.scene(plain=Guard.QUOTA in away, same_uid=Guard.UID in away) as scene:
        scene.away, scene.control = away, control
        scene.processes_allowed = place.policy(tier).processes
        scene.memory_allowed = place.policy(tier).memory_bytes
        scene.output_allowed = case.output_bytes
        scene.facts |= {"quota": scene.quota, "memory": scene.memory_allowed}
        if case.area == ALLOWED:
            scene.go_outside(place.outside)
        case.prepare(scene)
        scene.ready()
        sandbox = Sandbox(policy, scene.workspace, scene.uid, runtime=place.runtime)
        with scene.in_the_worker(), taken_away(away, scene):
            async with _neighbour(
                case, scene, Sandbox(policy, scene.neighbour, scene.neighbours_uid, runtime=place.runtime)
            ):
                running = asyncio.ensure_future(
                    sandbox.run(
                        programs.argv(case.language, case.attack, scene.facts),
                        stdin=case.stdin,
                        timeout_s=None if Guard.TIMEOUT in away else case.timeout_s,
                        output_bytes=1 << 30 if unlimited else case.output_bytes,
                    )
                )
                if Guard.TIMEOUT in away:
                    await asyncio.wait([running], timeout=case.timeout_s + BEYOND_S)
                beside = asyncio.ensure_future(asyncio.to_thread(case.meanwhile or nothing, scene))
                outcome = UNENDED
                try:
                    if Guard.TIMEOUT not in away or running.done():
                        outcome = await running
                except SandboxFailed as error:
                    if not control:  # which may bring down what runs it: that is looked at from outside
                        raise
                    outcome = replace(UNENDED, output=str(error).encode())
                await beside
                verdict = Verdict(case.escaped(scene, outcome), _tried(case, outcome), outcome)
                running.cancel()
                await asyncio.wait([running])
        return verdict


@asynccontextmanager
async def _neighbour(case: Case, scene: Scene, sandbox: Sandbox) -> AsyncIterator[None]:
    """The other tenant's program, ready before the attack begins and told to stop after it."""
    if not case.neighbour:
        yield
        return
    scene.facts["neighbours_token"] = scene.neighbours_token
    scene.facts.setdefault("key", int(scene.token[:7], 16) | 1)
    scene.facts["neighbour"] = str(scene.neighbour)
    facts = {"token": scene.neighbours_token, "secret": scene.secret, "key": scene.facts["key"]}
    running = asyncio.ensure_future(
        sandbox.run(programs.argv("python", case.neighbour, facts), timeout_s=READY_WITHIN_S)
    )
    ready = scene.neighbour / "ready"
    try:
        async with asyncio.timeout(READY_WITHIN_S):
            while not ready.exists():
                assert not running.done(), f"the neighbour did not start: {running.result()}"
                await asyncio.sleep(0.005)
        (scene.workspace / "neighbours-address").write_bytes(ready.read_bytes())
        (scene.workspace / "neighbours-address").chmod(0o644)
        yield
    finally:
        (scene.neighbour / "stop").touch()
        await asyncio.wait([running])


def _tried(case: Case, outcome: Outcome) -> bool:
    if outcome.signal == SIGSYS:
        return True  # the filter's own way to refuse
    if outcome.reason not in case.ends:
        return False
    return outcome.reason != "completed" or programs.TRIED.encode() in outcome.output
