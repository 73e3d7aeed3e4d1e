"""The matrix of user, resource and operation on a real broker: every cell, allowed or denied, is tried."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import NewTopic

from penstock.errors import KafkaUnreachable
from penstock_schemas.topics import STAGES, TOPICS
from penstock_services.access.cluster import ClusterRules
from penstock_services.access.commands import derived
from penstock_services.access.rules import ROLES, Names, Rule
from penstock_services.topic_admin import apply_topics, kafka_admin
from tests.access.matrix import allows, tries
from tests.fixtures.secured_kafka import ADMIN, STRANGER, SecuredKafka

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]
CHANGELOGS = [Names().changelog(stage) for stage in STAGES]
FOREIGN = "somebody-elses"
ALL_TOPICS = [*TOPICS, *CHANGELOGS, FOREIGN]
GROUPS = [
    "penstock",
    "penstock-loader",
    "penstock-workers-agents-default",
    "penstock-upstream.orders",
    "penstock-follower.screen",
    "somebody-elses",
]
TRANSACTIONS = [
    *(f"penstock-{stage}-0" for stage in STAGES),
    "penstock-operator-penstock.accounts.commands.v1",
    "penstock-upstream.orders",
    "somebody-elses",
]
USERS = [*(f"penstock-{role}" for role in ROLES), STRANGER]


@pytest.fixture(scope="module")
async def ruled(secured_kafka: SecuredKafka) -> AsyncIterator[tuple[SecuredKafka, list[Rule]]]:
    """The broker with the topics, a record in each, and exactly the derived rules."""
    admin, rules = secured_kafka.as_user(ADMIN), derived()
    await apply_topics(admin, list(TOPICS.values()), partitions=1)
    async with kafka_admin(admin) as client:
        await client.create_topics([NewTopic(name, 1, 1) for name in (*CHANGELOGS, FOREIGN)])
    async with AIOKafkaProducer(**admin.client_options()) as producer:
        for topic in ALL_TOPICS:
            await producer.send_and_wait(topic, b"there", partition=0)
    cluster = ClusterRules(admin)
    cluster.remove(cluster.read())
    cluster.add(rules)
    assert cluster.read() == rules
    yield secured_kafka, rules
    cluster.remove(rules)


@pytest.mark.parametrize("user", USERS)
async def test_each_topic_is_described_read_and_written_by_whom_the_rules_let(ruled, user: str) -> None:
    kafka, rules = ruled
    async with tries(kafka.as_user(user)) as a:
        for topic in ALL_TOPICS:
            tried = {
                "Describe": await a.describe_topic(topic),
                "Read": await a.read_topic(topic),
                "Write": await a.write_topic(topic),
            }
            said = {op: allows(rules, f"User:{user}", "topic", topic, op) for op in tried}
            assert tried == said, (user, topic)


@pytest.mark.parametrize("user", USERS)
async def test_each_group_is_described_and_used_by_whom_the_rules_let(ruled, user: str) -> None:
    kafka, rules = ruled
    readable = next((t for t in ALL_TOPICS if allows(rules, f"User:{user}", "topic", t, "Read")), FOREIGN)
    async with tries(kafka.as_user(user)) as a:
        for group in GROUPS:
            tried = {"Describe": await a.describe_group(group), "Read": await a.use_group(group, readable)}
            said = {op: allows(rules, f"User:{user}", "group", group, op) for op in tried}
            assert tried == said, (user, group)


@pytest.mark.parametrize("user", USERS)
async def test_each_transactional_id_is_used_by_whom_the_rules_let(ruled, user: str) -> None:
    kafka, rules = ruled
    writable = next((t for t in ALL_TOPICS if allows(rules, f"User:{user}", "topic", t, "Write")), FOREIGN)
    async with tries(kafka.as_user(user)) as a:
        for name in TRANSACTIONS:
            said = allows(rules, f"User:{user}", "transactional-id", name, "Write")
            assert await a.transact(name, writable) == said, (user, name)


async def test_control_without_its_rule_a_right_is_gone_and_with_it_back(ruled) -> None:
    kafka, _ = ruled
    cluster = ClusterRules(kafka.as_user(ADMIN))
    right = Rule("User:penstock-loader", "topic", "penstock.accounts.events.v1", "literal", "Read")
    async with tries(kafka.as_user("penstock-loader")) as loader:
        cluster.remove([right])
        try:
            assert not await loader.read_topic(right.name)
        finally:
            cluster.add([right])
        assert await loader.read_topic(right.name)


async def test_a_user_without_the_password_gets_nowhere(ruled) -> None:
    kafka, _ = ruled
    with pytest.raises(KafkaUnreachable, match="(?i)unable to bootstrap"):
        async with kafka_admin(kafka.as_user("penstock-loader", password="guessed")):
            pass


async def test_the_operator_may_create_the_declared_topics_and_no_others(ruled) -> None:
    kafka, _ = ruled
    operator = kafka.as_user("penstock-operator")
    assert await apply_topics(operator, list(TOPICS.values()), partitions=1) == []
    async with kafka_admin(operator) as admin:
        answer = await admin.create_topics([NewTopic("penstock.undeclared.v1", 1, 1)])
    assert answer.topic_errors[0][1] == 29  # TOPIC_AUTHORIZATION_FAILED
