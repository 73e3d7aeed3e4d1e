"""Reading, adding and removing access rules on a cluster, by librdkafka's admin client: aiokafka has none."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import Future
from functools import partial
from typing import Any, cast

import confluent_kafka.admin
from confluent_kafka import KafkaError, KafkaException

from penstock.errors import AccessControlOff, KafkaUnreachable, NotPermitted
from penstock.settings import KafkaSettings
from penstock_services.access.rules import Operation, Pattern, Resource, Rule

_kafka: Any = confluent_kafka.admin  # it exports its enumerations, but not to type checkers
ANSWER_WITHIN_S = 15.0
_RESOURCES: dict[Resource, Any] = {
    "topic": _kafka.ResourceType.TOPIC,
    "group": _kafka.ResourceType.GROUP,
    "transactional-id": _kafka.ResourceType.TRANSACTIONAL_ID,
    "cluster": _kafka.ResourceType.BROKER,
}
_RESOURCE_NAMES = {value: name for name, value in _RESOURCES.items()}
_PATTERNS: dict[Pattern, Any] = {
    "literal": _kafka.ResourcePatternType.LITERAL,
    "prefixed": _kafka.ResourcePatternType.PREFIXED,
}
_PATTERN_NAMES = {value: name for name, value in _PATTERNS.items()}


class ClusterRules:
    """The rules a cluster has.

    Args:
        settings: as a user who may describe and alter access rules, such as a super user.
        answer_within_s: how long the cluster may take for one answer.
    """

    def __init__(self, settings: KafkaSettings, answer_within_s: float = ANSWER_WITHIN_S) -> None:
        self._settings = settings
        self._answer_within_s = answer_within_s
        self._heard = ""
        # Level 0: what librdkafka would log is in the error.
        options = librdkafka_options(settings) | {"error_cb": self._hear, "log_level": 0}
        self._admin = _kafka.AdminClient(options)

    def read(self) -> list[Rule]:
        """Every rule that allows something. Raises as `add`."""
        self._require_authorizer()
        everything = _kafka.AclBindingFilter(
            _kafka.ResourceType.ANY,
            None,
            _kafka.ResourcePatternType.ANY,
            None,
            None,
            _kafka.AclOperation.ANY,
            _kafka.AclPermissionType.ALLOW,
        )
        ask = partial(self._ask, self._admin.describe_acls, everything)
        (found,) = self._answers("read the access rules", "Describe and DescribeConfigs", lambda: [ask()])
        return sorted(_rule(binding) for binding in found if _is_expressible(binding))

    def add(self, rules: Iterable[Rule]) -> None:
        """Add `rules`; each that exists already stays as it is, so a call that failed half-way may be repeated.

        Raises:
            NotPermitted: the user of the settings may not do this.
            AccessControlOff: the brokers run without an authorizer.
            KafkaUnreachable: no answer, or the login is refused; the message has the reason.
        """
        bindings = [_binding(rule) for rule in rules]
        if bindings:
            self._answers(
                "add access rules", "Alter", lambda: self._ask(self._admin.create_acls, bindings).values()
            )

    def remove(self, rules: Iterable[Rule]) -> None:
        """Remove exactly `rules`. Raises as `add`."""
        filters = [_filter(rule) for rule in rules]
        if filters:
            self._answers(
                "remove access rules", "Alter", lambda: self._ask(self._admin.delete_acls, filters).values()
            )

    def _require_authorizer(self) -> None:
        """librdkafka answers `no rules` where a broker has no authorizer or does not let this user see them, so a
        question is asked before whose refusal it does tell."""

        def ask() -> Iterable[Future[Any]]:
            broker = next(iter(self._admin.list_topics(timeout=self._answer_within_s).brokers))
            resource = _kafka.ConfigResource(_kafka.ResourceType.BROKER, str(broker))
            answers: dict[Any, Future[Any]] = self._ask(self._admin.describe_configs, [resource])
            return answers.values()

        (config,) = self._answers("read the access rules", "Describe and DescribeConfigs", ask)
        if not config["authorizer.class.name"].value:
            raise self._switched_off()

    def _switched_off(self) -> AccessControlOff:
        return AccessControlOff(
            f"Kafka at {self._settings.bootstrap_servers} has no authorizer, so everybody may do everything; "
            "set authorizer.class.name (org.apache.kafka.metadata.authorizer.StandardAuthorizer) on brokers and "
            "controllers"
        )

    def _ask(self, request: Callable[..., Any], what: Any) -> Any:
        return request(what, request_timeout=self._answer_within_s)

    def _answers(self, doing: str, right: str, ask: Callable[[], Iterable[Future[Any]]]) -> list[Any]:
        where = f"Kafka at {self._settings.bootstrap_servers}"
        try:
            return [future.result(self._answer_within_s + 5) for future in ask()]
        except KafkaException as exc:
            error = cast(KafkaError, exc.args[0])
            if error.code() == KafkaError.SECURITY_DISABLED:
                raise self._switched_off() from exc
            if error.code() == KafkaError.CLUSTER_AUTHORIZATION_FAILED:
                user = self._settings.sasl_username or "the user of this connection"
                raise NotPermitted(
                    f"{where} does not let {user} {doing}: that needs {right} on the cluster; "
                    "run this as a super user (PENSTOCK_KAFKA_SASL_USERNAME, _SASL_PASSWORD)"
                ) from exc
            raise KafkaUnreachable(f"{where} did not {doing}: {self._reason(error.str())}") from exc
        except TimeoutError as exc:
            raise KafkaUnreachable(f"{where} did not {doing}: {self._reason('no answer')}") from exc

    def _reason(self, otherwise: str) -> str:
        self._admin.poll(0)  # calls `_hear`
        return self._heard or otherwise

    def _hear(self, error: KafkaError) -> None:
        """librdkafka tells why it cannot connect here, and to the caller only that time ran out."""
        if error.code() != KafkaError._ALL_BROKERS_DOWN:
            self._heard = error.str()


def librdkafka_options(settings: KafkaSettings) -> dict[str, Any]:
    """`settings` for a client on librdkafka, such as any of confluent-kafka."""
    options: dict[str, Any] = {
        "bootstrap.servers": settings.bootstrap_servers,
        "security.protocol": settings.security_protocol,
    }
    if settings.security_protocol.startswith("SASL"):
        password = settings.sasl_password
        options |= {
            "sasl.mechanism": settings.sasl_mechanism,
            "sasl.username": settings.sasl_username or "",
            "sasl.password": password.get_secret_value() if password else "",
        }
    if settings.security_protocol.endswith("SSL") and settings.ssl_cafile:
        options["ssl.ca.location"] = str(settings.ssl_cafile)
    return options


def _binding(rule: Rule) -> Any:
    return _kafka.AclBinding(*_fields(rule), _kafka.AclPermissionType.ALLOW)


def _filter(rule: Rule) -> Any:
    return _kafka.AclBindingFilter(*_fields(rule), _kafka.AclPermissionType.ALLOW)


def _fields(rule: Rule) -> tuple[Any, ...]:
    operation = _kafka.AclOperation[_screaming(rule.operation)]
    return _RESOURCES[rule.resource], rule.name, _PATTERNS[rule.pattern], rule.principal, "*", operation


def _rule(binding: Any) -> Rule:
    operation = "".join(word.capitalize() for word in binding.operation.name.split("_"))
    return Rule(
        binding.principal,
        _RESOURCE_NAMES[binding.restype],
        binding.name,
        _PATTERN_NAMES[binding.resource_pattern_type],
        cast(Operation, operation),  # also those that are never derived, such as All
    )


def _is_expressible(binding: Any) -> bool:
    """Rules for single hosts and about delegation tokens are not ours to compare."""
    return binding.host == "*" and binding.restype in _RESOURCE_NAMES


def _screaming(operation: str) -> str:
    return "".join(f"_{letter}" if letter.isupper() else letter.upper() for letter in operation).lstrip("_")
