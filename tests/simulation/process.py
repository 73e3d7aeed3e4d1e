"""A process of the world: its clocks, its network, and how it is stopped, cut off, killed and started again."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from tests.simulation.log import EPOCH_US
from tests.simulation.scheduler import Actor, Signal, Wait

if TYPE_CHECKING:
    from tests.simulation.world import World

SECOND = 1_000_000


class Process:
    """A process on a machine of its own; its wall clock may be off, its seconds may be too long or too short."""

    def __init__(self, world: World, name: str) -> None:
        rng, shape = world.scheduler.rng, world.shape
        self.world = world
        self.scheduler = world.scheduler
        self.name = name
        self.alive = False
        self.stopped_until = 0
        self.cut_until = 0
        self.incarnation = 0
        self.healed = Signal()
        self.actors: list[Actor] = []
        self._rate = 1 + rng.uniform(-shape.drift, shape.drift)
        self._wall_us = EPOCH_US + int(rng.uniform(-shape.skew_s, shape.skew_s) * SECOND)
        self._booted_us = rng.randrange(1_000 * SECOND)

    @property
    def id(self) -> str:
        """Of this incarnation."""
        return f"{self.name}.{self.incarnation}"

    # Clocks

    def wall(self, true_us: int | None = None) -> int:
        """What its wall clock shows now, or showed at a true time; microseconds."""
        return self._wall_us + int((self.scheduler.now if true_us is None else true_us) * self._rate)

    def boottime_s(self) -> float:
        return (self._booted_us + self.scheduler.now * self._rate) / SECOND

    def until_boottime(self, boottime_s: float) -> int:
        """True microseconds from now until its boot clock shows that; not below 0."""
        return max(int((boottime_s - self.boottime_s()) / self._rate * SECOND) + 1, 0)

    # Actors

    def start(self) -> None:
        self.incarnation += 1
        self.alive = True
        self.scheduler.note(self.id, "starts")
        self.begin()

    def begin(self) -> None:
        """Spawn the actors."""
        raise NotImplementedError

    def spawn(self, coroutine: Coroutine[Any, Any, Any], name: str) -> Actor:
        actor = Actor(self.scheduler, self, coroutine, name)
        self.actors = [other for other in self.actors if not other.done]
        self.actors.append(actor)
        return actor

    def failed(self, actor: Actor, error: Exception) -> None:
        """An actor ended with an error; nothing but an error of the log's makes a process crash."""
        self.world.monitor.crashed(self, actor.name, error)
        self.kill(f"crashes: {error}")

    # Faults

    async def trip(self, tempting: bool = False) -> None:
        """One way over the network, after which the process may be hit.

        Args:
            tempting: right after something whose answer matters; hits are more likely here.
        """
        await Wait(self.world.trip_us())
        if self.world.hit(tempting):
            self.world.strike(self)
            await Wait(0)
        while self.cut_until > self.scheduler.now:
            await Wait(self.cut_until - self.scheduler.now, self.healed)

    def stop_for(self, us: int) -> None:
        """SIGSTOP, and SIGCONT later."""
        self.scheduler.note(self.id, f"is stopped for {us / SECOND:.1f} s")
        self.stopped_until = max(self.stopped_until, self.scheduler.now + us)

    def cut_for(self, us: int) -> None:
        """The log cannot be reached; what is under way arrives afterwards. Not once faults have stopped."""
        if self.world.calm:
            return
        self.scheduler.note(self.id, f"is cut off for {us / SECOND:.1f} s")
        self.cut_until = max(self.cut_until, self.scheduler.now + us)

    def kill(self, why: str = "is killed") -> None:
        """End at once; a supervisor starts it again."""
        if not self.alive:
            return
        self.scheduler.note(self.id, why)
        self.alive = False
        self.stopped_until = self.cut_until = 0
        for actor in self.actors:
            actor.close()
        self.actors = []
        self.died()
        pause_us = int(self.scheduler.rng.uniform(0.3, 5) * SECOND)
        self.scheduler.at(self.scheduler.now + pause_us, lambda _: self.start())

    def died(self) -> None:
        """Forget what was in memory."""

    def heal(self) -> None:
        """Cuts and stops end now."""
        self.cut_until = self.stopped_until = 0
        for actor in self.actors:
            actor.catch_up()
        self.healed.notify()
