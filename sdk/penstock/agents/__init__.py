"""The agent author's API.

An agent is an object with `async def run(self, context: AgentContext) -> str`, registered under the entry point
group `penstock.agents`; the entry point's name is the `agent_type` of requests. It raises `RetryableAgentError`
where another attempt may help; any other exception fails the execution for good.
"""

from penstock.agents.attempt import Attempt, PastMessage, StageOutput
from penstock.agents.calls import ProviderCall, Reportable
from penstock.agents.catalog import Agent, AgentCatalog, load_agents
from penstock.agents.commands import Kept, Outcome, Receipt
from penstock.agents.context import AgentContext, ToolCall
from penstock.errors import PermanentAgentError, ReservationUsedUp, RetryableAgentError

__all__ = [
    "Agent",
    "AgentCatalog",
    "AgentContext",
    "Attempt",
    "Kept",
    "Outcome",
    "PastMessage",
    "PermanentAgentError",
    "ProviderCall",
    "Receipt",
    "Reportable",
    "ReservationUsedUp",
    "RetryableAgentError",
    "StageOutput",
    "ToolCall",
    "load_agents",
]
