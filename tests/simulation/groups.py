"""Consumer groups: members with sessions, and rebalances that wait until every live member has let go."""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.simulation.scheduler import Scheduler


@dataclass(slots=True)
class _Member:
    seen: int
    joined: int = 0
    """The generation it has let go for."""
    owns: list[int] = field(default_factory=list)


class Group:
    """One group over `partitions` partition numbers.

    A member that stays silent for a session is dropped without being asked: it goes on believing what it
    believed, until it asks again.
    """

    def __init__(self, scheduler: Scheduler, name: str, partitions: list[int], session_us: int) -> None:
        self.name = name
        self._scheduler = scheduler
        self._partitions = partitions
        self._session_us = session_us
        self._members: dict[str, _Member] = {}
        self.generation = 0
        self._stable = 0

    def poll(self, member_id: str, let_go_of: int) -> tuple[int, list[int] | None]:
        """Join or stay. Returns the generation and what the member owns in it; None while it is to let go.

        Args:
            let_go_of: the newest generation for which the member has stopped what it ran.
        """
        member = self._members.get(member_id)
        if member is None:
            member = self._members[member_id] = _Member(self._scheduler.now)
            self._scheduler.at(member.seen + self._session_us, self._check_session, (member_id, member))
            self.rebalance()
        member.seen = self._scheduler.now
        member.joined = max(member.joined, let_go_of)
        self._complete()
        return self.generation, member.owns if self._stable == self.generation else None

    def may_commit(self, member_id: str, generation: int) -> bool:
        return member_id in self._members and generation == self.generation == self._stable

    def leave(self, member_id: str) -> None:
        if self._members.pop(member_id, None):
            self.rebalance()

    def rebalance(self) -> None:
        """Everyone is to let go and to join again."""
        self.generation += 1
        self._complete()

    def _complete(self) -> None:
        if self._stable == self.generation or not self._members:
            return
        if any(member.joined < self.generation for member in self._members.values()):
            return
        self._stable = self.generation
        order = sorted(self._members)
        self._scheduler.rng.shuffle(order)
        for member in self._members.values():
            member.owns = []
        for index, partition in enumerate(self._partitions):
            self._members[order[index % len(order)]].owns.append(partition)
        self._scheduler.note(self.name, "generation", self.generation, {m: self._members[m].owns for m in order})

    def _check_session(self, what: tuple[str, _Member]) -> None:
        member_id, member = what
        if self._members.get(member_id) is not member:
            return
        ends = member.seen + self._session_us
        if ends > self._scheduler.now:
            self._scheduler.at(ends, self._check_session, what)
        else:
            self._scheduler.note(self.name, "drops", member_id)
            self.leave(member_id)
