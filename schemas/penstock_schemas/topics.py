"""Every topic, declared once. Creation, access lists, documentation, the loader and tests derive from here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from penstock_schemas import records as r
from penstock_schemas.errors import UnknownTopic
from penstock_schemas.routing import partition_for

MAX_RECORD_BYTES = 960 * 1024
"""Largest encoded record; leaves room for key, headers and batch framing below the brokers' 1 MiB."""
MAX_INLINE_BYTES = 32 * 1024
"""Largest payload carried inline between our own processes; above it travels a PayloadRef."""
MAX_REQUEST_INPUT_BYTES = 256 * 1024
"""Largest input a request from outside may carry inline."""
MAX_MESSAGE_BYTES = 256 * 1024
"""Largest message to an agent in a conversation."""
MAX_INLINE_CONTENT_BYTES = 4 * 1024
"""Largest side of a turn carried inline. Every turn is carried again by those after it, so this is lower."""
MAX_STAGES = 1_200
"""Of one pipeline."""
MAX_STEP_STAGES = 1_000
"""Of one step of a pipeline, which run in parallel."""
MAX_TEMPLATE_BYTES = 32 * 1024
"""Largest prompt template of a stage."""
MAX_REASON_CHARS = 500
"""Of a CancelExecution or CorrectUsage; accounts cuts what is longer."""

DAY_S = 86_400
ROUTED_BY_PARTITION = frozenset(
    {
        r.Heartbeat,
        r.ListPrice,
        r.PriceListed,
        r.PriceRefused,
        r.ClosePeriod,
        r.PeriodClosed,
        r.PeriodCloseRefused,
        r.DeleteUser,
        r.UserDeleted,
    }
)
"""Records that say themselves which partition they are for."""
Kind = Literal["requests", "commands", "events", "dispatch", "leases", "progress", "dead-letters"]
Principal = Literal[
    "upstream", "follower", "operator", "accounts", "executions", "conversations", "pipelines", "worker", "loader"
]
STAGES: tuple[Principal, ...] = ("accounts", "executions", "conversations", "pipelines")
READERS_OF: Mapping[Kind, tuple[Principal, ...]] = {
    "requests": ("operator",),
    "commands": ("operator",),
    "events": ("upstream", "follower", "operator", "loader"),
    "dispatch": ("operator", "worker"),
    "leases": ("upstream", "follower", "operator", "worker"),
    "progress": ("upstream", "follower", "operator", "loader"),
    "dead-letters": ("operator", "loader"),
}
"""Who reads topics of a kind, besides the stage whose input requests and commands are. Events and progress are for
whoever follows, leases too, because they answer who holds a run; dead letters hold what any tenant sent, so they
are the operator's; the operator audits, and so reads all."""


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic's declaration."""

    name: str
    stage: str
    kind: Kind
    routing_field: str
    """Field of the record whose value is the routing key."""
    records: tuple[type[r.Record], ...]
    writers: tuple[Principal, ...]
    retention_s: int
    partitions: int = 12
    """Partitions in production; a small stack sets another number, the same for all, before first use."""

    @property
    def readers(self) -> tuple[Principal, ...]:
        """Who may read it: by its kind, and its stage where it is that stage's input."""
        own = tuple(p for p in STAGES if p == self.stage and self.kind in ("requests", "commands"))
        return (*own, *READERS_OF[self.kind])

    def carries(self, record_type: type[r.Record]) -> bool:
        return record_type in self.records

    def partition_of(self, record: r.Record, partitions: int) -> int:
        """The partition `record` belongs to. Pure in the record's value."""
        kind = type(record)  # isinstance on pydantic models costs ten times as much
        if kind in ROUTED_BY_PARTITION:
            return int(record.partition) % partitions  # type: ignore[attr-defined]
        home = partition_for(self._routing_value(record), partitions)
        if kind is not r.ExecutionDispatched:
            return home
        # Each repeat goes to the next partition, which the workers' assignor gives to the next worker.
        return (home + int(record.dispatch_seq) - 1) % partitions  # type: ignore[attr-defined]

    def routing_key(self, record: r.Record) -> str:
        """The routing key as text: also the record's Kafka key, for readers' convenience only."""
        return str(record.partition) if type(record) in ROUTED_BY_PARTITION else self._routing_value(record)  # type: ignore[attr-defined]

    def _routing_value(self, record: r.Record) -> str:
        value = getattr(record, self.routing_field)
        # Only a message may leave out whom it is for: then it starts a conversation under an id derived from it.
        return str(record.addressed_id if value is None else value)  # type: ignore[attr-defined]


ACCOUNTS_REQUESTS = Topic(
    "penstock.accounts.requests.v1",
    stage="accounts",
    kind="requests",
    routing_field="tenant_id",
    records=(r.RequestExecution, r.CancelExecution, r.RecordUsage, r.CheckBudget),
    writers=("upstream", "accounts", "conversations", "pipelines"),
    retention_s=7 * DAY_S,
)
ACCOUNTS_COMMANDS = Topic(
    "penstock.accounts.commands.v1",
    stage="accounts",
    kind="commands",
    routing_field="tenant_id",
    records=(
        *(r.ConfigureTenant, r.ConfigureUser, r.ListPrice, r.ClosePeriod, r.CorrectUsage),
        *(r.StartCall, r.RecordUsage, r.SettleExecution),
        *(r.ReservePipeline, r.ReleasePipeline),
    ),
    writers=("operator", "accounts", "executions", "pipelines", "worker"),
    retention_s=400 * DAY_S,  # audit recounts a year of bills from RecordUsage
)
ACCOUNTS_EVENTS = Topic(
    "penstock.accounts.events.v1",
    stage="accounts",
    kind="events",
    routing_field="tenant_id",
    records=(
        r.TenantConfigured,
        r.UserConfigured,
        r.BudgetChecked,
        r.BudgetThresholdReached,
        r.PriceListed,
        r.PriceRefused,
        r.PeriodClosed,
        r.PeriodCloseRefused,
        r.UsageCharged,
        r.ChargeAdjusted,
        r.CorrectionRefused,
        r.UsageQuarantined,
        r.UsageUnresolved,
        r.SpendWasted,
    ),
    writers=("accounts",),
    retention_s=400 * DAY_S,
)
EXECUTIONS_COMMANDS = Topic(
    "penstock.executions.commands.v1",
    stage="executions",
    kind="commands",
    routing_field="execution_id",
    records=(r.StartExecution, r.StopExecution, r.ClaimLease, r.Heartbeat, r.FinishAttempt),
    writers=("accounts", "executions", "worker"),
    retention_s=7 * DAY_S,
)
EXECUTIONS_EVENTS = Topic(
    "penstock.executions.events.v1",
    stage="executions",
    kind="events",
    routing_field="execution_id",
    records=(
        r.ExecutionAdmitted,
        r.ExecutionQueued,
        r.ExecutionRejected,
        r.RequestRefused,
        r.CancelRefused,
        r.AttemptStarted,
        r.AttemptLost,
        r.AttemptFailed,
        r.StaleAttemptReported,
        r.ExecutionCompleted,
        r.ExecutionFailed,
        r.ExecutionTimedOut,
        r.ExecutionCancelled,
    ),
    writers=("accounts", "executions"),
    retention_s=30 * DAY_S,
)
EXECUTIONS_LEASES = Topic(
    "penstock.executions.leases.v1",
    stage="executions",
    kind="leases",
    routing_field="worker_id",
    records=(r.LeaseGranted, r.LeaseDenied, r.LeaseConfirmed, r.LeaseRevoked),
    writers=("executions",),
    retention_s=3600,
)
EXECUTIONS_PROGRESS = Topic(
    "penstock.executions.progress.v1",
    stage="executions",
    kind="progress",
    routing_field="execution_id",
    records=(r.ProgressReported, r.StepStarted, r.StepFinished, r.ToolCalled, r.OutputEmitted, r.ArtifactKept),
    writers=("worker",),
    retention_s=7 * DAY_S,
)
CONVERSATIONS_REQUESTS = Topic(
    "penstock.conversations.requests.v1",
    stage="conversations",
    kind="requests",
    routing_field="conversation_id",
    records=(r.PostMessage, r.DeleteConversation),
    writers=("upstream", "conversations"),
    retention_s=7 * DAY_S,
)
CONVERSATIONS_COMMANDS = Topic(
    "penstock.conversations.commands.v1",
    stage="conversations",
    kind="commands",
    routing_field="conversation_id",
    records=(r.FinishTurn, r.ErasePayloads, r.DeleteUser),
    writers=("operator", "accounts", "executions", "conversations"),
    retention_s=7 * DAY_S,
)
CONVERSATIONS_EVENTS = Topic(
    "penstock.conversations.events.v1",
    stage="conversations",
    kind="events",
    routing_field="conversation_id",
    records=(
        r.ConversationStarted,
        r.MessageQueued,
        r.TurnStarted,
        r.TurnAppended,
        r.TurnFailed,
        r.MessageRejected,
        r.DeletionRejected,
        r.ConversationDeleted,
        r.UserDeleted,
    ),
    writers=("conversations",),
    retention_s=30 * DAY_S,
)
PIPELINES_REQUESTS = Topic(
    "penstock.pipelines.requests.v1",
    stage="pipelines",
    kind="requests",
    routing_field="pipeline_id",
    records=(r.StartPipeline, r.CancelPipeline, r.ResumePipeline),
    writers=("upstream", "pipelines"),
    retention_s=7 * DAY_S,
)
PIPELINES_COMMANDS = Topic(
    "penstock.pipelines.commands.v1",
    stage="pipelines",
    kind="commands",
    routing_field="pipeline_id",
    records=(r.PipelineReserved, r.PipelineReservationRefused, r.FinishStage, r.WriteInputs),
    writers=("accounts", "executions", "pipelines"),
    retention_s=7 * DAY_S,
)
PIPELINES_EVENTS = Topic(
    "penstock.pipelines.events.v1",
    stage="pipelines",
    kind="events",
    routing_field="pipeline_id",
    records=(
        r.PipelineStarted,
        r.PipelineResumed,
        r.StageStarted,
        r.StageCompleted,
        r.StageFailed,
        r.PipelineCompleted,
        r.PipelineFailed,
        r.PipelineCancelled,
        r.PipelineRequestRefused,
    ),
    writers=("pipelines",),
    retention_s=30 * DAY_S,
)
DEAD_LETTERS = Topic(
    "penstock.dead-letters.v1",
    stage="platform",
    kind="dead-letters",
    routing_field="source_topic",
    records=(r.DeadLetter,),
    writers=("accounts", "executions", "conversations", "pipelines", "loader", "worker"),
    retention_s=30 * DAY_S,
)

DEFAULT_QUEUE = "agents-default"


def dispatch_topic(queue: str) -> Topic:
    """The declaration of a worker queue's topic. The queue's name is checked by whoever reads settings."""
    return Topic(
        f"penstock.executions.dispatch.{queue}.v1",
        stage="executions",
        kind="dispatch",
        routing_field="execution_id",
        records=(r.ExecutionDispatched,),
        writers=("executions",),
        retention_s=7 * DAY_S,
    )


def all_topics(queues: tuple[str, ...] = (DEFAULT_QUEUE,)) -> Mapping[str, Topic]:
    """Every topic by name, for the given worker queues."""
    fixed = (
        ACCOUNTS_REQUESTS,
        ACCOUNTS_COMMANDS,
        ACCOUNTS_EVENTS,
        EXECUTIONS_COMMANDS,
        EXECUTIONS_EVENTS,
        EXECUTIONS_LEASES,
        EXECUTIONS_PROGRESS,
        CONVERSATIONS_REQUESTS,
        CONVERSATIONS_COMMANDS,
        CONVERSATIONS_EVENTS,
        PIPELINES_REQUESTS,
        PIPELINES_COMMANDS,
        PIPELINES_EVENTS,
        DEAD_LETTERS,
    )
    return {topic.name: topic for topic in (*fixed, *map(dispatch_topic, queues))}


TOPICS = all_topics()
"""Every topic of a platform with only the default queue."""


def topic_named(name: str) -> Topic:
    """The declaration of `name`, also of any queue's dispatch topic.

    Raises:
        UnknownTopic: no such topic is declared.
    """
    if name in TOPICS:
        return TOPICS[name]
    prefix, suffix = "penstock.executions.dispatch.", ".v1"
    if name.startswith(prefix) and name.endswith(suffix):
        return dispatch_topic(name[len(prefix) : -len(suffix)])
    raise UnknownTopic(f"topic {name!r} is not declared in penstock_schemas.topics")
