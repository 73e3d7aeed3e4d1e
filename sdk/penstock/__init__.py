"""Penstock's SDK: submit executions, follow them, read what they cost; and write agents.

async with penstock.Client() as client:
    run = await client.submit("echo", "hello", tenant="acme")
    print(await client.result(run.execution_id))
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from penstock.client import Client
    from penstock.conversation_models import Conversation, ConversationTurn, PostedMessage
    from penstock.errors import PenstockError
    from penstock.kept import Artifact
    from penstock.models import Cursor, Execution, Lease, Price, ProgressGap, Submission, Tenant
    from penstock.pipelines.models import Pipeline, PipelineStage, StartedPipeline
    from penstock.statements import Bill, BillLine, SpendSummary
    from penstock.sync import SyncClient

__all__ = [
    "Artifact",
    "Bill",
    "BillLine",
    "Client",
    "Conversation",
    "ConversationTurn",
    "Cursor",
    "Execution",
    "Lease",
    "PenstockError",
    "Pipeline",
    "PipelineStage",
    "PostedMessage",
    "Price",
    "ProgressGap",
    "SpendSummary",
    "StartedPipeline",
    "Submission",
    "SyncClient",
    "Tenant",
]

# The client's libraries take about a second to import; a command line's --help should not.
_HOME_OF = (
    {
        "Client": "penstock.client",
        "SyncClient": "penstock.sync",
        "PenstockError": "penstock.errors",
        "Artifact": "penstock.kept",
    }
    | dict.fromkeys(
        ("Cursor", "Execution", "Lease", "Price", "ProgressGap", "Submission", "Tenant"), "penstock.models"
    )
    | dict.fromkeys(("Bill", "BillLine", "SpendSummary"), "penstock.statements")
)
_HOME_OF |= dict.fromkeys(("Conversation", "ConversationTurn", "PostedMessage"), "penstock.conversation_models")
_HOME_OF |= dict.fromkeys(("Pipeline", "PipelineStage", "StartedPipeline"), "penstock.pipelines.models")


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'penstock' has no attribute {name!r}")
    return getattr(import_module(_HOME_OF[name]), name)


def __dir__() -> list[str]:
    return __all__
