"""One virtual clock and one seeded scheduler. Coroutines are its actors; there is no event loop and no thread.

Time is true time, in microseconds from 0. An actor gives way only where it awaits a `Wait`; when it goes on is
drawn from the seed, so a seed is one interleaving, always the same.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Coroutine
from heapq import heappop, heappush
from typing import Any, Protocol

Call = Callable[[Any], None]


class Host(Protocol):
    """What runs an actor: it may be stopped for a while, and hears of the actor's failure."""

    stopped_until: int

    def failed(self, actor: Actor, error: Exception) -> None: ...


class Scheduler:
    """Runs what is due, in the order of virtual time.

    Args:
        seed: of every random draw in a run.
        traced: keep what happened, for a reader; costs most of the speed.
    """

    def __init__(self, seed: int, traced: bool = False) -> None:
        self.now = 0
        self.rng = random.Random(seed)
        self.steps = 0
        self.trace: deque[str] | None = deque(maxlen=100_000) if traced else None
        self._heap: list[tuple[int, int, Call, Any]] = []
        self._count = 0

    def at(self, when: int, call: Call, argument: Any = None) -> None:
        """Call `call(argument)` at `when`, or at once where that has passed."""
        self._count += 1
        heappush(self._heap, (max(when, self.now), self._count, call, argument))

    def step(self) -> bool:
        """Do the next thing; False where nothing is left to do."""
        if not self._heap:
            return False
        self.now, _, call, argument = heappop(self._heap)
        self.steps += 1
        call(argument)
        return True

    def note(self, *what: object) -> None:
        """Add a line to the trace."""
        if self.trace is not None:
            self.trace.append(f"{self.now / 1e6:11.4f}  " + " ".join(map(str, what)))


class Signal:
    """Wakes the actors that wait for it, once each."""

    def __init__(self) -> None:
        self._waiting: list[tuple[Actor, int]] = []

    def add(self, actor: Actor, token: int) -> None:
        self._waiting.append((actor, token))

    def notify(self) -> None:
        waiting, self._waiting = self._waiting, []
        for actor, token in waiting:
            actor.wake(token)


class Wait:
    """Awaited by an actor: go on after `us` microseconds, or when one of `signals` is notified."""

    __slots__ = ("signals", "us")

    def __init__(self, us: int | None, *signals: Signal) -> None:
        self.us = us
        self.signals = signals

    def __await__(self) -> Any:
        yield self


class Box(Signal):
    """A value that comes once; what an asyncio future is to asyncio."""

    def __init__(self) -> None:
        super().__init__()
        self.full = False
        self.value: Any = None

    def put(self, value: Any = None) -> None:
        """The first value counts."""
        if not self.full:
            self.full, self.value = True, value
            self.notify()


class Actor:
    """A coroutine of one host."""

    def __init__(self, scheduler: Scheduler, host: Host, coroutine: Coroutine[Any, Any, Any], name: str) -> None:
        self.name = name
        self.done = False
        self.ended = Signal()
        self._scheduler = scheduler
        self._host = host
        self._coroutine = coroutine
        self._token = 0
        self._overdue = False
        scheduler.at(scheduler.now, self._resume, 0)

    def wake(self, token: int) -> None:
        self._scheduler.at(self._scheduler.now, self._resume, token)

    def catch_up(self) -> None:
        """Its host goes on before it was to."""
        if self._overdue:
            self.wake(self._token)

    def close(self) -> None:
        """End it where it waits. Not from within itself."""
        if not self.done:
            self._finish()
            self._coroutine.close()

    def _resume(self, token: int) -> None:
        if self.done or token != self._token:
            return
        self._overdue = self._host.stopped_until > self._scheduler.now
        if self._overdue:
            self._scheduler.at(self._host.stopped_until, self._resume, token)
            return
        self._token += 1
        try:
            wait: Wait = self._coroutine.send(None)
        except StopIteration:
            self._finish()
        except Exception as exc:
            self._finish()
            self._host.failed(self, exc)
        else:
            for signal in wait.signals:
                signal.add(self, self._token)
            if wait.us is not None:
                self._scheduler.at(self._scheduler.now + wait.us, self._resume, self._token)

    def _finish(self) -> None:
        self.done = True
        self.ended.notify()
