"""Which agents this installation has: the entry points of the group `penstock.agents`."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Protocol

from penstock.agents.context import AgentContext
from penstock.errors import PermanentAgentError, UnknownAgent

GROUP = "penstock.agents"


class Agent(Protocol):
    """What a worker runs. One object serves many executions, one at a time; state belongs in `run`."""

    async def run(self, context: AgentContext) -> str:
        """Do the work of one execution and return its output."""
        ...


class AgentCatalog:
    """The registered agents by name. An agent is imported when it is first asked for, so that a broken or a
    heavy one costs nobody else anything.

    Args:
        registered: entry points by agent name; each names a class (called without arguments) or an object.
    """

    def __init__(self, registered: Mapping[str, EntryPoint]) -> None:
        self._registered = dict(registered)
        self._loaded: dict[str, Agent] = {}

    @property
    def names(self) -> list[str]:
        """The names of all registered agents, sorted."""
        return sorted(self._registered)

    def agent(self, name: str) -> Agent:
        """The agent registered as `name`.

        Raises:
            UnknownAgent: none is; the message lists those that are.
            PermanentAgentError: it is registered but cannot be loaded.
        """
        if name not in self._loaded:
            if name not in self._registered:
                known = ", ".join(self.names) or "none"
                raise UnknownAgent(f"no agent {name!r} is registered in this worker; registered: {known}")
            self._loaded[name] = self._load(name)
        return self._loaded[name]

    def _load(self, name: str) -> Agent:
        entry_point = self._registered[name]
        try:
            target = entry_point.load()
            agent = target() if isinstance(target, type) else target
        except Exception as exc:  # an author's module raises whatever it likes on import
            raise PermanentAgentError(f"agent {name!r} ({entry_point.value}) cannot be loaded: {exc!r}") from exc
        if not callable(getattr(agent, "run", None)):
            raise PermanentAgentError(f"agent {name!r} ({entry_point.value}) has no method run(context)")
        loaded: Agent = agent
        return loaded


def load_agents() -> AgentCatalog:
    """The catalog of this installation. Imports no agent yet."""
    return AgentCatalog({found.name: found for found in entry_points(group=GROUP)})
