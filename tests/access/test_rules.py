"""What is derived from the topic declarations, and that it names what the processes really use."""

from __future__ import annotations

import inspect
from itertools import product

import pytest

from penstock import broadcasting
from penstock_consumers.loader.loader import LOADED_TOPICS
from penstock_consumers.loader.settings import LoaderSettings
from penstock_consumers.worker import dispatches
from penstock_consumers.worker.outbox import WRITTEN
from penstock_schemas.topics import STAGES, TOPICS, Topic, all_topics
from penstock_services.access.rules import (
    OPERATOR_TRANSACTIONS,
    ROLES,
    WORKERS_GROUP,
    Names,
    Role,
    Rule,
    derive,
    role_of,
)
from penstock_services.access.settings import names
from penstock_streams.accounts.wiring import accounts_stage
from penstock_streams.conversations.wiring import conversations_stage
from penstock_streams.executions.wiring import executions_stage
from penstock_streams.kit import Stage, StreamsSettings
from penstock_streams.kit.topology import changelog_name
from penstock_streams.pipelines.wiring import pipelines_stage
from penstock_streams.settings import StageSettings

USERS: dict[Role, tuple[str, ...]] = {role: (f"User:{role}",) for role in ROLES}


def rules(topics: dict[str, Topic] | None = None, app: Names | None = None) -> set[Rule]:
    return set(derive((topics or dict(TOPICS)).values(), USERS, app or Names()))


def may(role: Role, operation: str, topic: str) -> bool:
    return any(
        (rule.principal, rule.operation, rule.resource, rule.name) == (f"User:{role}", operation, "topic", topic)
        for rule in rules()
    )


@pytest.fixture
def stages(tmp_path) -> tuple[Stage, ...]:
    from penstock.artifacts import ArtifactStore

    settings, artifacts = StageSettings(), ArtifactStore(tmp_path.as_uri())
    return (
        accounts_stage(settings.policy(), artifacts),
        executions_stage(settings.lease_times(), settings.queues),
        conversations_stage(settings.conversation_policy(), artifacts),
        pipelines_stage(settings.pipeline_policy(), artifacts),
    )


@pytest.mark.parametrize(("role", "name"), [*product(ROLES, TOPICS)])
def test_a_role_may_write_where_the_declaration_says_and_an_operator_also_to_inputs(role: Role, name: str):
    topic = TOPICS[name]
    replays = role == "operator" and topic.kind in ("requests", "commands")
    assert may(role, "Write", name) == (role in {role_of(writer) for writer in topic.writers} or replays)


@pytest.mark.parametrize(("role", "name"), [*product(ROLES, TOPICS)])
def test_a_role_may_read_where_the_declaration_says(role: Role, name: str):
    assert may(role, "Read", name) == (role in {role_of(reader) for reader in TOPICS[name].readers})


def test_a_follower_writes_nothing_and_takes_part_in_no_transaction():
    of_follower = {rule for rule in rules() if rule.principal == "User:follower"}
    assert {rule.operation for rule in of_follower} == {"Read", "Describe"}
    assert {rule.resource for rule in of_follower} == {"topic", "group"}


def test_from_outside_only_requests_are_written():
    written = {rule.name for rule in rules() if rule.principal == "User:upstream" and rule.operation == "Write"}
    assert written == {name for name, topic in TOPICS.items() if topic.kind == "requests"}


def test_nobody_outside_reads_requests_commands_or_dead_letters():
    for role, (name, topic) in product(("upstream", "follower"), TOPICS.items()):
        if topic.kind in ("requests", "commands", "dead-letters", "dispatch"):
            assert not may(role, "Read", name), (role, name)


def test_nobody_may_alter_or_delete_topics_or_act_as_the_cluster():
    assert {rule.operation for rule in rules()} == {
        "Read",
        "Write",
        "Create",
        "Delete",
        "Describe",
        "DescribeConfigs",
    }
    assert {rule.resource for rule in rules() if rule.operation == "Delete"} == {"group"}


def test_the_streams_may_write_every_output_and_read_every_input_of_the_stages(stages: tuple[Stage, ...]):
    for stage in stages:
        assert all(may("streams", "Read", topic.name) for topic in stage.inputs)
        assert all(may("streams", "Write", topic.name) for topic in stage.outputs)


def test_the_streams_write_nothing_that_no_stage_writes(stages: tuple[Stage, ...]):
    outputs = {topic.name for stage in stages for topic in (*stage.outputs, *stage.inputs)}
    outputs.add("penstock.dead-letters.v1")
    assert {name for name in TOPICS if may("streams", "Write", name)} <= outputs


def test_the_stages_changelogs_groups_and_transactions_are_named_as_the_kit_names_them(stages: tuple[Stage, ...]):
    settings = StreamsSettings(app_id="other")
    found = rules(app=Names(app_id=settings.app_id))
    for stage in stages:
        changelog = changelog_name(settings.app_id, stage.name)
        task = f"{settings.app_id}-{stage.name}-"
        for operation in ("Read", "Write", "Create", "DescribeConfigs"):
            assert Rule("User:streams", "topic", changelog, "literal", operation) in found
        assert Rule("User:streams", "transactional-id", task, "prefixed", "Write") in found
    assert Rule("User:streams", "group", settings.app_id, "literal", "Read") in found
    assert {stage.name for stage in stages} == set(STAGES)


def test_no_prefix_of_the_streams_covers_the_operators_transactions():
    prefixes = {r.name for r in rules() if r.principal == "User:streams" and r.resource == "transactional-id"}
    assert not any(OPERATOR_TRANSACTIONS.startswith(prefix) for prefix in prefixes)


def test_the_worker_may_write_what_its_outbox_writes():
    assert all(may("worker", "Write", topic.name) for topic in WRITTEN)


def test_the_loader_may_read_what_it_loads_in_its_group():
    assert all(may("loader", "Read", topic.name) for topic in LOADED_TOPICS)
    group = LoaderSettings().group_id
    assert Rule("User:loader", "group", group, "literal", "Read") in rules(app=names())


def test_the_groups_and_transactions_spelled_out_here_are_those_in_the_code():
    assert f'group_id=f"{WORKERS_GROUP}{{queue}}"' in inspect.getsource(dispatches)
    assert f'f"{OPERATOR_TRANSACTIONS}{{topic.name}}"' in inspect.getsource(broadcasting)


def test_every_queue_has_its_dispatch_topic_and_its_group():
    found = rules(dict(all_topics(("agents-default", "gpu"))))
    assert Rule("User:worker", "topic", "penstock.executions.dispatch.gpu.v1", "literal", "Read") in found
    assert Rule("User:worker", "group", "penstock-workers-gpu", "literal", "Read") in found


def test_two_upstreams_share_no_group():
    users: dict[Role, tuple[str, ...]] = {"upstream": ("User:shop", "User:shop-eu")}
    groups = {r.principal: r.name for r in derive(TOPICS.values(), users, Names()) if r.resource == "group"}
    assert groups == {"User:shop": "shop.", "User:shop-eu": "shop-eu."}
    assert not "shop-eu.".startswith("shop.")
