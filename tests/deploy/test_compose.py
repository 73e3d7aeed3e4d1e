"""docker-compose.kafka.yml without a container engine: valid by the compose schema, and true to our settings."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import compose_spec
import pytest
import yaml

from penstock.settings import ArtifactSettings, ClickHouseSettings, KafkaSettings, RegistrySettings
from penstock_schemas import topics

FILE = Path(__file__).parents[2] / "docker-compose.kafka.yml"
VARIABLE = re.compile(r"\$\{(?P<name>\w+)(?::(?P<kind>[-?])(?P<rest>[^}]*))?\}")
GIVEN = {"PENSTOCK_CLICKHOUSE_PASSWORD": "secret"}


def interpolated(text: str, given: dict[str, str]) -> str:
    """`text` with its variables replaced as a container engine does it before it reads the file."""

    def value(match: re.Match[str]) -> str:
        name, kind, rest = match["name"], match["kind"], match["rest"]
        if name in given:
            return given[name]
        if kind == "-":
            return rest
        raise KeyError(f"{name}: {rest}")

    return VARIABLE.sub(value, text)


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return yaml.safe_load(interpolated(FILE.read_text(), GIVEN))


def test_the_file_satisfies_the_compose_schema():
    parsed = compose_spec.PyCompose.from_yaml(interpolated(FILE.read_text(), GIVEN)).to_dict()
    assert set(parsed["services"]) == {"kafka", "registry", "clickhouse"}


def test_control_the_schema_check_refuses_an_unknown_key():
    broken = interpolated(FILE.read_text(), GIVEN).replace("    image: apache", "    imagee: apache")
    with pytest.raises(ValueError, match="imagee"):
        compose_spec.PyCompose.from_yaml(broken)


def test_the_password_has_no_default():
    with pytest.raises(KeyError, match="PENSTOCK_CLICKHOUSE_PASSWORD"):
        interpolated(FILE.read_text(), {})


def test_every_setting_it_tells_us_to_export_is_read_by_a_settings_model(compose):
    known = {
        f"{model.model_config['env_prefix']}{name}".upper()
        for model in (KafkaSettings, RegistrySettings, ClickHouseSettings, ArtifactSettings)
        for name in model.model_fields
    }
    assert set(compose["x-penstock"]["environment"]) <= known


def test_the_exported_addresses_are_the_published_ports_and_the_defaults_of_the_settings(compose):
    environment = compose["x-penstock"]["environment"]
    ports = {name: service["ports"][0].split(":")[1] for name, service in compose["services"].items()}
    assert environment["PENSTOCK_KAFKA_BOOTSTRAP_SERVERS"] == f"127.0.0.1:{ports['kafka']}"
    assert f":{ports['registry']}/" in environment["PENSTOCK_REGISTRY_URL"]
    assert str(environment["PENSTOCK_CLICKHOUSE_PORT"]) == ports["clickhouse"]
    fields = RegistrySettings.model_fields
    assert environment["PENSTOCK_REGISTRY_URL"] == fields["url"].default
    assert (
        environment["PENSTOCK_KAFKA_BOOTSTRAP_SERVERS"] == KafkaSettings.model_fields["bootstrap_servers"].default
    )


def test_every_port_is_published_on_loopback_only(compose):
    assert all(port.startswith("127.0.0.1:") for s in compose["services"].values() for port in s["ports"])


def test_the_broker_advertises_what_clients_are_told_to_use(compose):
    environment = compose["services"]["kafka"]["environment"]
    told = compose["x-penstock"]["environment"]["PENSTOCK_KAFKA_BOOTSTRAP_SERVERS"]
    assert f"HOST://{told}" in environment["KAFKA_ADVERTISED_LISTENERS"].split(",")
    advertised = {listener.partition("://")[0] for listener in environment["KAFKA_LISTENERS"].split(",")}
    mapped = {pair.partition(":")[0] for pair in environment["KAFKA_LISTENER_SECURITY_PROTOCOL_MAP"].split(",")}
    assert advertised == mapped


def test_every_volume_topic_and_dependency_it_names_exists(compose):
    services = compose["services"].values()
    assert {v.partition(":")[0] for s in services for v in s.get("volumes", [])} == set(compose["volumes"])
    assert {d for s in services for d in s.get("depends_on", {})} <= set(compose["services"])
    assert set(re.findall(r"penstock\.[a-z.-]+\.v\d+", FILE.read_text())) <= set(topics.TOPICS)
