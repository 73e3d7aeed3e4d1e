"""The access rules of a cluster, derived from the topic declarations. Pure.

A role is one kind of process or caller with Kafka users of its own. The four stages run in one process, so they
share the role `streams`. Everything not derived here is denied, by an authorizer without
`allow.everyone.if.no.acl.found`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from penstock_schemas.topics import ACCOUNTS_COMMANDS, EXECUTIONS_COMMANDS, STAGES, Principal, Topic

Role = Literal["upstream", "follower", "streams", "worker", "loader", "operator"]
ROLES: tuple[Role, ...] = ("upstream", "follower", "streams", "worker", "loader", "operator")
Resource = Literal["topic", "group", "transactional-id", "cluster"]
Pattern = Literal["literal", "prefixed"]
Operation = Literal["Read", "Write", "Create", "Delete", "Describe", "DescribeConfigs"]
APP_ID = "penstock"
LOADER_GROUP = "penstock-loader"
CLUSTER = "kafka-cluster"
"""The one name a cluster resource has."""


@dataclass(frozen=True, slots=True, order=True)
class Rule:
    """One permission, from any host. Read, Write and Delete imply Describe for Kafka."""

    principal: str
    """As Kafka writes it: `User:penstock-worker`."""
    resource: Resource
    name: str
    pattern: Pattern
    operation: Operation


@dataclass(frozen=True, slots=True)
class Names:
    """Names that settings give to what processes use besides the declared topics."""

    app_id: str = APP_ID
    """`PENSTOCK_STREAMS_APP_ID`: names the streams' group, changelogs and transactional ids."""
    loader_group: str = LOADER_GROUP
    """`PENSTOCK_LOADER_GROUP_ID`."""

    def changelog(self, stage: str) -> str:
        """Topic of a stage's rows."""
        return f"{self.app_id}-{stage}-changelog"

    def task_prefix(self, stage: str) -> str:
        """What the transactional ids of a stage's tasks begin with; the partition follows."""
        return f"{self.app_id}-{stage}-"


OPERATOR_TRANSACTIONS = "penstock-operator-"
"""What the transactional ids of commands to all partitions begin with; see `penstock.broadcasting`."""
WORKERS_GROUP = "penstock-workers-"
"""A queue's group of workers; the queue follows."""


def role_of(principal: Principal) -> Role:
    """Whose Kafka user a declaration's principal acts under."""
    if principal in STAGES:
        return "streams"
    return principal  # type: ignore[return-value]  # what is left are the other roles


def derive(topics: Iterable[Topic], principals: Mapping[Role, Iterable[str]], names: Names) -> list[Rule]:
    """Every rule, sorted, each once.

    Args:
        topics: the declared topics, those of the queues included.
        principals: Kafka principals by role; a role may have several or none.
    """
    declared = tuple(topics)
    found = {
        Rule(principal, resource, name, pattern, operation)
        for role in ROLES
        for principal in principals.get(role, ())
        for resource, name, pattern, operation in _permissions(role, principal, declared, names)
    }
    return sorted(found)


Permission = tuple[Resource, str, Pattern, Operation]


def _permissions(role: Role, principal: str, topics: tuple[Topic, ...], names: Names) -> Iterator[Permission]:
    for topic in topics:
        if role in map(role_of, topic.writers):
            yield "topic", topic.name, "literal", "Write"
        if role in map(role_of, topic.readers):
            yield "topic", topic.name, "literal", "Read"
    match role:
        case "upstream" | "follower":
            yield from _follows(principal)
        case "streams":
            yield from _streams(topics, names)
        case "worker":
            for topic in topics:
                if topic.kind == "dispatch":
                    yield "group", f"{WORKERS_GROUP}{queue_of(topic)}", "literal", "Read"
        case "loader":
            yield "group", names.loader_group, "literal", "Read"
        case "operator":
            yield from _operator(topics, names)


def _follows(principal: str) -> Iterator[Permission]:
    # A lease is looked up by the execution's partition of the commands, of which only the count is asked.
    yield "topic", EXECUTIONS_COMMANDS.name, "literal", "Describe"
    # Penstock's client uses no group; a plain Kafka client may use groups under its own name.
    yield "group", f"{principal.partition(':')[2]}.", "prefixed", "Read"


def _streams(topics: tuple[Topic, ...], names: Names) -> Iterator[Permission]:
    yield "group", names.app_id, "literal", "Read"
    yield "cluster", CLUSTER, "literal", "DescribeConfigs"  # how often brokers look for dead transactions
    for topic in topics:
        if "streams" in map(role_of, (*topic.writers, *topic.readers)):
            yield "topic", topic.name, "literal", "DescribeConfigs"  # its largest record
    for stage in STAGES:
        operations: tuple[Operation, ...] = ("Read", "Write", "Create", "DescribeConfigs")
        for operation in operations:
            yield "topic", names.changelog(stage), "literal", operation
        yield "transactional-id", names.task_prefix(stage), "prefixed", "Write"


def _operator(topics: tuple[Topic, ...], names: Names) -> Iterator[Permission]:
    for topic in topics:
        yield "topic", topic.name, "literal", "Create"
        yield "topic", topic.name, "literal", "DescribeConfigs"
        if topic.kind in ("requests", "commands"):
            yield "topic", topic.name, "literal", "Write"  # a dead letter is written back to where it came from
        if topic.kind == "dispatch":
            yield "group", f"{WORKERS_GROUP}{queue_of(topic)}", "literal", "Describe"
    yield "topic", names.changelog(ACCOUNTS_COMMANDS.stage), "literal", "Read"  # audit checks budgets by it
    yield "transactional-id", OPERATOR_TRANSACTIONS, "prefixed", "Write"
    yield "group", names.app_id, "literal", "Describe"
    yield "group", names.loader_group, "literal", "Describe"
    yield "group", names.loader_group, "literal", "Delete"  # loads a lost ClickHouse anew


def queue_of(topic: Topic) -> str:
    """The queue of a dispatch topic."""
    return topic.name.removeprefix("penstock.executions.dispatch.").removesuffix(".v1")
