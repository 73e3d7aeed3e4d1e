"""Which agents there are."""

from importlib.metadata import EntryPoint

import pytest

from penstock.agents import AgentCatalog, PermanentAgentError, load_agents
from penstock.agents.catalog import GROUP
from penstock.errors import UnknownAgent
from penstock_consumers.agents.echo import EchoAgent


def catalog(**targets: str) -> AgentCatalog:
    return AgentCatalog({name: EntryPoint(name, target, GROUP) for name, target in targets.items()})


def test_the_built_in_agents_are_registered():
    assert {"assistant", "echo", "shell"} <= set(load_agents().names)


def test_an_agent_is_made_once():
    agents = catalog(echo="penstock_consumers.agents.echo:EchoAgent")
    assert isinstance(agents.agent("echo"), EchoAgent)
    assert agents.agent("echo") is agents.agent("echo")


def test_an_unknown_agent_is_named_with_those_there_are():
    with pytest.raises(UnknownAgent, match=r"no agent 'ecco' is registered in this worker; registered: a, b"):
        catalog(b="x", a="y").agent("ecco")


@pytest.mark.parametrize(
    ("target", "why"),
    [
        ("no.such.module:A", "cannot be loaded"),
        ("json:nothing", "cannot be loaded"),
        ("json:dumps", "no method run"),
    ],
)
def test_a_broken_agent_fails_only_who_asks_for_it(target, why):
    agents = catalog(broken=target, echo="penstock_consumers.agents.echo:EchoAgent")
    with pytest.raises(PermanentAgentError, match=why):
        agents.agent("broken")
    assert agents.agent("echo")
