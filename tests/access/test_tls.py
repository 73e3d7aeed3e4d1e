"""TLS with a certificate authority of one's own, by the settings every process has."""

from __future__ import annotations

from pathlib import Path

import pytest
import trustme

from penstock.errors import KafkaUnreachable
from penstock.settings import KafkaSettings
from penstock_services.access.cluster import ClusterRules
from penstock_services.topic_admin import kafka_admin
from tests.fixtures.secured_kafka import ADMIN, SecuredKafka

pytestmark = pytest.mark.integration


@pytest.fixture
def wrong_ca(tmp_path: Path) -> Path:
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "wrong.pem"))
    return tmp_path / "wrong.pem"


async def connects(settings: KafkaSettings) -> bool:
    async with kafka_admin(settings) as admin:
        return bool((await admin.describe_cluster())["brokers"])


async def test_a_login_over_tls_works_with_the_right_ca(secured_kafka: SecuredKafka) -> None:
    assert await connects(secured_kafka.over_tls(ADMIN, secured_kafka.ca_file))


async def test_a_broker_of_another_ca_is_refused_before_the_password_is_sent(
    secured_kafka: SecuredKafka, wrong_ca: Path
) -> None:
    with pytest.raises(KafkaUnreachable):
        await connects(secured_kafka.over_tls(ADMIN, wrong_ca))


async def test_the_access_rules_are_read_over_tls_too(secured_kafka: SecuredKafka) -> None:
    assert isinstance(ClusterRules(secured_kafka.over_tls(ADMIN, secured_kafka.ca_file)).read(), list)


async def test_the_access_rules_are_not_read_from_a_broker_of_another_ca(
    secured_kafka: SecuredKafka, wrong_ca: Path
) -> None:
    with pytest.raises(KafkaUnreachable, match="(?i)certificate verify failed"):
        ClusterRules(secured_kafka.over_tls(ADMIN, wrong_ca), answer_within_s=3).read()
