"""An agent run by hand: what it reports, in order."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from penstock.agents import Agent, AgentContext, Attempt
from penstock.agents.commands import Sandboxed
from penstock_schemas import records as r


@dataclass
class ByHand:
    """One attempt without a worker."""

    workspace: Path
    reports: list[r.Record] = field(default_factory=list)
    sandboxed: Sandboxed | None = None

    def context(self, text: str = "hello", **fields: Any) -> AgentContext:
        async def report(record: r.Record) -> None:
            self.reports.append(record)

        attempt = Attempt(
            **{"execution_id": "e-1", "epoch": 1, "tenant_id": "acme", "agent_type": "a"} | fields, input=text
        )
        return AgentContext(attempt, self.workspace, report, self.sandboxed)

    async def run(self, agent: Agent, text: str = "hello", **fields: Any) -> str:
        return await agent.run(self.context(text, **fields))

    def all(self, record_type: type) -> list[Any]:
        return [record for record in self.reports if isinstance(record, record_type)]


@pytest.fixture
def by_hand(tmp_path: Path) -> ByHand:
    return ByHand(tmp_path / "run")


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., None]:
    """None of the machine's own settings; call it to set variables."""
    monkeypatch.setenv("PENSTOCK_HOME", str(tmp_path))
    for name in ("PENSTOCK_ASSISTANT_BASE_URL", "PENSTOCK_ASSISTANT_API_KEY", "PENSTOCK_ASSISTANT_MODEL"):
        monkeypatch.delenv(name, raising=False)

    def set_variables(**values: str) -> None:
        for name, value in values.items():
            monkeypatch.setenv(name, value)

    return set_variables
