"""`penstock acl apply` against a real broker with the standard authorizer, and what can go wrong."""

from __future__ import annotations

import pytest

from penstock.errors import AccessControlOff, KafkaUnreachable, NotPermitted
from penstock.settings import KafkaSettings
from penstock_services.access.cluster import ClusterRules
from penstock_services.access.rules import Rule
from penstock_services.embedded.ports import free_ports
from tests.fixtures.secured_kafka import ADMIN, STRANGER, SecuredKafka

pytestmark = pytest.mark.integration
ONE = Rule("User:somebody", "topic", "test.applying", "literal", "DescribeConfigs")
OTHER = Rule("User:somebody", "transactional-id", "test.applying-", "prefixed", "Write")
RULES = [ONE, OTHER, Rule("User:somebody", "cluster", "kafka-cluster", "literal", "DescribeConfigs")]


@pytest.fixture
def rules(secured_kafka: SecuredKafka) -> ClusterRules:
    return ClusterRules(secured_kafka.as_user(ADMIN))


async def test_added_rules_are_read_back_as_they_were_and_may_be_added_again(rules: ClusterRules) -> None:
    for _ in range(2):
        rules.add(RULES)
        assert set(RULES) <= set(rules.read())
    rules.remove(RULES)


async def test_only_the_rules_named_are_removed(rules: ClusterRules) -> None:
    rules.add(RULES)
    rules.remove([ONE])
    left = set(rules.read())
    assert ONE not in left
    assert OTHER in left
    rules.remove(RULES)


async def test_a_user_without_the_right_is_told_which_it_lacks(secured_kafka: SecuredKafka) -> None:
    with pytest.raises(NotPermitted, match="stranger read the access rules: that needs Describe and"):
        ClusterRules(secured_kafka.as_user(STRANGER)).read()
    with pytest.raises(NotPermitted, match="stranger add access rules: that needs Alter on the cluster"):
        ClusterRules(secured_kafka.as_user(STRANGER)).add([ONE])


async def test_a_broker_without_an_authorizer_is_named_as_such(kafka_bootstrap: str) -> None:
    with pytest.raises(AccessControlOff, match=r"authorizer\.class\.name"):
        ClusterRules(KafkaSettings(bootstrap_servers=kafka_bootstrap)).read()


async def test_a_broker_that_does_not_answer_is_named() -> None:
    (port,) = free_ports(1)
    with pytest.raises(KafkaUnreachable, match=f"127.0.0.1:{port} did not read the access rules"):
        ClusterRules(KafkaSettings(bootstrap_servers=f"127.0.0.1:{port}"), answer_within_s=2).read()


async def test_a_wrong_password_is_called_that(secured_kafka: SecuredKafka) -> None:
    with pytest.raises(KafkaUnreachable, match="(?i)authentication failed"):
        ClusterRules(secured_kafka.as_user(ADMIN, password="wrong"), answer_within_s=3).read()
