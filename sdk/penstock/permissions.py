"""Telling a right that is missing from a broker that is away: waiting helps with one of them only."""

from __future__ import annotations

from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    KafkaError,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
)

from penstock.errors import NotPermitted
from penstock.settings import KafkaSettings

MISSING_RIGHTS: tuple[type[KafkaError], ...] = (
    TopicAuthorizationFailedError,
    GroupAuthorizationFailedError,
    ClusterAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
)


def not_permitted(settings: KafkaSettings, doing: str, refusal: KafkaError) -> NotPermitted:
    """The typed error for one of `MISSING_RIGHTS` met while `doing`; aiokafka's names the topic or group."""
    user = settings.sasl_username or "this connection, which has no login,"
    return NotPermitted(
        f"Kafka at {settings.bootstrap_servers} does not let {user} go on while {doing} "
        f"({type(refusal).__name__}: {refusal}); `penstock acl print` shows who may do what, "
        "`penstock acl apply` makes it so"
    )
