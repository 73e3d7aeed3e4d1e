"""Every error Penstock raises on purpose, in one tree.

PenstockError                        exit code 1
├── ContractError                    a record, schema or topic does not fit the contract
│   ├── UndecodableRecord            poison bytes from Kafka
│   │   ├── BadFraming
│   │   ├── UnknownSchemaId
│   │   ├── ForeignSchema
│   │   ├── BadPayload
│   │   └── InvalidRecord
│   ├── UnencodableRecord
│   │   └── RecordTooLarge
│   ├── UnknownTopic
│   └── IncompatibleSchema
├── UsageError                       exit code 2: the caller's argument or setting
│   ├── InvalidInput
│   │   ├── InvalidTemplate          a brace in a prompt that is almost a placeholder
│   │   └── InvalidPipeline          a definition that says what cannot be done, and where
│   ├── PayloadTooLarge
│   ├── PolicyRefused                the operator's sandbox policies
│   └── MissingExtra                 a command whose packages are not installed
├── RequestRejected                  exit code 3: accounts said no, with a reason
│   ├── MessageRejected              conversations did, about a message
│   └── PipelineRejected             pipelines did, about a pipeline
├── CommandRejected                  exit code 3: accounts refused an operator's command, with a reason
│   └── PriceRejected                and with it every price of the same list
├── NotPermitted                     exit code 3: Kafka refuses this user what it asked for
├── AccessControlOff                 the cluster lets everybody do everything
├── Unreachable                      exit code 4
│   ├── RegistryUnreachable
│   ├── KafkaUnreachable
│   ├── ClickHouseUnreachable
│   ├── ArtifactStoreUnreachable
│   └── ProjectStoreUnreachable
├── Unverifiable                     exit code 5: the facts are no longer there to check
├── NotFound
├── AlreadyEnded                     there is nothing left to cancel
├── FollowTimeout
├── CommandInterrupted               another operator's command came in between
├── NotConfirmed                     a command was sent, its effect was not seen in time
├── ExecutionFailedError             the run ended without a result
│   ├── ExecutionTimedOutError
│   └── ExecutionCancelledError
├── PipelineFailedError              the pipeline ended without a result
│   └── PipelineCancelledError
├── AgentError                       raised inside an agent
│   ├── RetryableAgentError
│   ├── PermanentAgentError
│   │   └── ReservationUsedUp
│   └── UnknownAgent
├── SandboxError                     nothing was run: never an unsandboxed fallback
│   ├── SandboxUnavailable           this host cannot hold a tier's limits
│   ├── SandboxFailed                a sandbox that should work could not be set up
│   └── WorkspaceError               a workspace could not be made, filled or collected
│       ├── WorkspaceRefused         an id, a project or a pattern that is not allowed
│       └── QuotaExceeded            what should go in is larger than what the tenant has left
└── StackError                       the embedded stack cannot start or stop
    ├── PortTaken
    ├── JavaMissing
    ├── DiskFull
    ├── DataFolderDamaged
    ├── AlreadyRunning
    └── ProcessFailed
"""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from penstock_schemas.errors import (
    BadFraming,
    BadPayload,
    ContractError,
    ForeignSchema,
    IncompatibleSchema,
    InvalidRecord,
    PenstockError,
    RecordTooLarge,
    RegistryUnreachable,
    UndecodableRecord,
    UnencodableRecord,
    UnknownSchemaId,
    UnknownTopic,
    Unreachable,
)

SHOWN_CHARACTERS = 60
"""Of a caller's text in a message."""

__all__ = [
    "AccessControlOff",
    "AgentError",
    "AlreadyEnded",
    "AlreadyRunning",
    "ArtifactStoreUnreachable",
    "BadFraming",
    "BadPayload",
    "ClickHouseUnreachable",
    "CommandInterrupted",
    "ContractError",
    "DataFolderDamaged",
    "DiskFull",
    "ExecutionCancelledError",
    "ExecutionFailedError",
    "ExecutionTimedOutError",
    "FollowTimeout",
    "ForeignSchema",
    "IncompatibleSchema",
    "InvalidInput",
    "InvalidPipeline",
    "InvalidRecord",
    "InvalidTemplate",
    "JavaMissing",
    "KafkaUnreachable",
    "MessageRejected",
    "MissingExtra",
    "NotConfirmed",
    "NotFound",
    "NotPermitted",
    "PayloadTooLarge",
    "PenstockError",
    "PermanentAgentError",
    "PipelineCancelledError",
    "PipelineFailedError",
    "PipelineRejected",
    "PolicyRefused",
    "PortTaken",
    "PriceRejected",
    "ProcessFailed",
    "ProjectStoreUnreachable",
    "QuotaExceeded",
    "RecordTooLarge",
    "RegistryUnreachable",
    "RequestRejected",
    "RetryableAgentError",
    "SandboxError",
    "SandboxFailed",
    "SandboxUnavailable",
    "StackError",
    "UndecodableRecord",
    "UnencodableRecord",
    "UnknownAgent",
    "UnknownSchemaId",
    "UnknownTopic",
    "Unreachable",
    "Unverifiable",
    "UsageError",
    "WorkspaceError",
    "WorkspaceRefused",
]


class UsageError(PenstockError):
    """The caller's argument or setting cannot be used; the message names it."""

    exit_code = 2


class InvalidInput(UsageError):
    """An argument that breaks the contract before anything was sent."""


class InvalidTemplate(InvalidInput):
    """A brace in a stage's prompt that begins like a placeholder and is none. `text` is what it says."""

    def __init__(self, text: str, why: str) -> None:
        super().__init__(f"{text!r}: {why}")
        self.text = text
        self.why = why


class InvalidPipeline(InvalidInput):
    """A definition of a pipeline that cannot be run.

    Attributes:
        reason: the machine-readable code, one of `pipelines.checking.REASONS`.
        where: the stage by its name or its place, such as `stage 'Write'` or `stages[2].parallel[0].promt`.
        text: the part that is wrong; empty where something is missing.
    """

    def __init__(self, reason: str, where: str, text: str, why: str) -> None:
        super().__init__(": ".join(part for part in (where, text and repr(_cut(text)), why) if part))
        self.reason = reason
        self.where = where
        self.text = text


class PayloadTooLarge(UsageError):
    """An inline payload above the limit where no artifact store is configured to take it."""


class PolicyRefused(UsageError):
    """The operator's sandbox policies cannot be used; the message names the file, the key and the value."""


class MissingExtra(UsageError):
    """A command needs packages of an extra that is not installed; the message names the extra."""


class RequestRejected(PenstockError):
    """Accounts rejected the request. `reason` is the machine-readable code, `detail` says more."""

    exit_code = 3

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail


class MessageRejected(RequestRejected):
    """Conversations did not take the message; the conversation is as it was."""


class PipelineRejected(RequestRejected):
    """Pipelines did not do what was asked; nothing was started, and nothing has changed."""


class CommandRejected(PenstockError):
    """Accounts refused an operator's command, and nothing changed. `reason` is the code."""

    exit_code = 3

    def __init__(self, about: str, reason: str, detail: str) -> None:
        super().__init__(f"{about}: {reason}: {detail}; nothing was changed")
        self.reason = reason
        self.detail = detail


class PriceRejected(CommandRejected):
    """Accounts refused a price, and with it every price of the same command."""

    def __init__(self, model: str, effective_from: datetime, reason: str, detail: str) -> None:
        super().__init__(f"{model} from {effective_from.isoformat()}", reason, detail)
        self.model = model
        self.effective_from = effective_from


class CommandInterrupted(PenstockError):
    """Another operator's command to all partitions took over; nothing of this one was written."""


class NotPermitted(PenstockError):
    """A server knows this user and does not let it do what it asked; the message names user, action and right."""

    exit_code = 3


class AccessControlOff(PenstockError):
    """The cluster has no authorizer, so there are no rules to read or write, and everybody may do everything."""


class KafkaUnreachable(Unreachable):
    """No broker answered at the configured addresses."""


class ClickHouseUnreachable(Unreachable):
    """ClickHouse did not answer at the configured address."""


class ArtifactStoreUnreachable(Unreachable):
    """The artifact store could not be read or written."""


class ProjectStoreUnreachable(Unreachable):
    """The project store could not be read."""


class Unverifiable(PenstockError):
    """The records needed for a check are no longer on Kafka."""

    exit_code = 5


class NotFound(PenstockError):
    """No such execution, tenant or dead letter is known yet."""


class AlreadyEnded(PenstockError):
    """The execution had ended before it could be cancelled."""


class FollowTimeout(PenstockError):
    """The execution did not end within the time the caller allowed for following it."""


class NotConfirmed(PenstockError):
    """A command reached Kafka, and the stage that carries it out has not answered within the time allowed."""


class ExecutionFailedError(PenstockError):
    """The execution failed for good. `error_type` is the class of the failure, as the agent named it."""

    def __init__(self, execution_id: str, error_type: str, error_message: str) -> None:
        super().__init__(f"execution {execution_id} failed: {error_type}: {error_message}")
        self.execution_id = execution_id
        self.error_type = error_type
        self.error_message = error_message


class ExecutionTimedOutError(ExecutionFailedError):
    """The execution reached its run deadline."""

    def __init__(self, execution_id: str, timeout_s: int) -> None:
        super().__init__(execution_id, "timed_out", f"the run deadline of {timeout_s} s passed")
        self.timeout_s = timeout_s


class ExecutionCancelledError(ExecutionFailedError):
    """Somebody cancelled the execution; `reason` is in their words."""

    def __init__(self, execution_id: str, reason: str) -> None:
        super().__init__(execution_id, "cancelled", reason or "no reason was given")
        self.reason = reason


class PipelineFailedError(PenstockError):
    """A stage failed for good; earlier outputs are kept, and `resume_pipeline` goes on from there."""

    def __init__(self, pipeline_id: str, failed_at_stage: str, error: str) -> None:
        super().__init__(
            f"pipeline {pipeline_id} failed at stage {failed_at_stage!r}: {error}; "
            f"`penstock pipeline resume {pipeline_id}` goes on from there"
        )
        self.pipeline_id = pipeline_id
        self.failed_at_stage = failed_at_stage
        self.error = error


class PipelineCancelledError(PipelineFailedError):
    """Somebody cancelled the pipeline; `error` is in their words."""

    def __init__(self, pipeline_id: str, reason: str) -> None:
        PenstockError.__init__(self, f"pipeline {pipeline_id} was cancelled: {reason or 'no reason was given'}")
        self.pipeline_id = pipeline_id
        self.failed_at_stage = ""
        self.error = reason


class AgentError(PenstockError):
    """Raised by an agent or about one; `retryable` decides whether another attempt may follow."""

    retryable: ClassVar[bool] = False


class RetryableAgentError(AgentError):
    """The agent failed in a way that another attempt may cure."""

    retryable = True


class PermanentAgentError(AgentError):
    """The agent failed in a way that no other attempt will cure."""


class ReservationUsedUp(PermanentAgentError):
    """Everything that was reserved for the execution has been used; ask for more by `reserve_tokens`."""


class UnknownAgent(AgentError):
    """No agent of that type is registered in this worker; the message lists those that are."""


class SandboxError(PenstockError):
    """A command was not run, because it would not have been held. There is no unsandboxed fallback."""


class SandboxUnavailable(SandboxError):
    """This host cannot hold what a tier promises; the message names what is missing and how to get it."""


class SandboxFailed(SandboxError):
    """A sandbox that worked at start could not be set up now; the message has what the system said."""


class WorkspaceError(SandboxError):
    """A workspace could not be made, filled, collected or removed."""


class WorkspaceRefused(WorkspaceError):
    """An id, a project or a pattern that could lead out of a workspace."""


class QuotaExceeded(WorkspaceError):
    """What should go into a workspace is larger than what its tenant has left on this host."""


class StackError(PenstockError):
    """The embedded stack cannot start, run or stop."""


class PortTaken(StackError):
    """Another process listens on a port the stack was told to use."""


class JavaMissing(StackError):
    """No Java 17 or newer, or no Maven to fetch the broker with; the message has the command to run."""


class DiskFull(StackError):
    """Too little free space in the state folder for the stack to start safely."""


class DataFolderDamaged(StackError):
    """The state folder is half-written, of another version, or not a folder of ours."""


class AlreadyRunning(StackError):
    """Another `penstock up` owns this state folder."""


class ProcessFailed(StackError):
    """A process of the stack did not become healthy; the message has the end of its log."""


def _cut(text: str) -> str:
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}…"
