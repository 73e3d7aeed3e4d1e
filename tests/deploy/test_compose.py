"""docker-compose.kafka.yml without a container engine: valid by the compose schema, and true to what it names."""

from __future__ import annotations

import re
import shutil
import subprocess
from importlib import import_module
from pathlib import Path
from typing import Any

import compose_spec
import pytest
import yaml

from penstock.settings import ClickHouseSettings, KafkaSettings, RegistrySettings, Settings
from penstock_schemas import topics
from penstock_services.clickhouse import connect
from penstock_services.embedded.broker_settings import broker_settings
from penstock_services.embedded.brokers import Membership

ROOT = Path(__file__).parents[2]
FILE = ROOT / "docker-compose.kafka.yml"
DOCKERFILE = ROOT / "deploy" / "image" / "Dockerfile"
VARIABLE = re.compile(r"\$\{(?P<name>\w+):-(?P<default>[^}]*)\}")
TEXT = VARIABLE.sub(lambda match: match["default"], FILE.read_text())
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
MERGED = yaml.safe_dump(COMPOSE)
"""Without `<<`, which engines know and the schema's library does not."""
SERVICES: dict[str, Any] = COMPOSE["services"]
BLOCKS = (COMPOSE["x-penstock"], *SERVICES.values())
ENVIRONMENTS = [block["environment"] for block in BLOCKS if "environment" in block]
BROKERS = ("kafka-1", "kafka-2", "kafka-3")
OURS = ("setup", "streams", "loader", "audit", "worker")
READ_BY_NO_MODEL = {"PENSTOCK_HOME", "PENSTOCK_SECRETS"}
"""They say where settings are."""
SETTINGS = (
    "penstock_services.health",
    "penstock_services.sandbox.settings",
    "penstock_services.topic_commands",
    "penstock_consumers.worker.settings",
    "penstock_consumers.loader.settings",
    "penstock_streams.kit.settings",
)


def models(of: type[Settings] = Settings) -> list[type[Settings]]:
    return [model for child in of.__subclasses__() for model in (child, *models(child))]


def known_variables() -> set[str]:
    for module in SETTINGS:
        import_module(module)
    names = [f"{model.model_config['env_prefix']}{name}" for model in models() for name in model.model_fields]
    return {name.upper() for name in names} | READ_BY_NO_MODEL


def host_folders(service: dict[str, Any]) -> list[str]:
    return [volume.partition(":")[0] for volume in service.get("volumes", []) if volume.startswith("./")]


def test_the_file_satisfies_the_compose_schema() -> None:
    parsed = compose_spec.PyCompose.from_yaml(MERGED).to_dict()
    assert set(parsed["services"]) == set(SERVICES)


def test_control_the_schema_check_refuses_an_unknown_key() -> None:
    with pytest.raises(ValueError, match="imagee"):
        compose_spec.PyCompose.from_yaml(MERGED.replace("image: apicurio", "imagee: apicurio"))


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_every_variable_of_ours_is_read_by_a_settings_model(environment: dict[str, str]) -> None:
    assert {name for name in environment if name.startswith("PENSTOCK_")} <= known_variables()


def test_every_secret_of_ours_is_the_name_of_a_setting_and_a_file_gives_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "penstock_clickhouse_password"
    assert name.upper() in known_variables()
    (tmp_path / name).write_text("from a file")
    monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("PENSTOCK_HOME", str(tmp_path))
    monkeypatch.setenv("PENSTOCK_SECRETS", str(tmp_path))
    assert ClickHouseSettings().password.get_secret_value() == "from a file"


def test_the_exported_addresses_are_the_published_ports_and_the_defaults_of_the_settings() -> None:
    environment = COMPOSE["x-penstock"]["environment"]
    ports = {name: service["ports"][0].split(":")[1] for name, service in SERVICES.items() if "ports" in service}
    bootstrap, url = environment["PENSTOCK_KAFKA_BOOTSTRAP_SERVERS"], environment["PENSTOCK_REGISTRY_URL"]
    assert bootstrap == f"127.0.0.1:{ports['kafka-1']}" == KafkaSettings.model_fields["bootstrap_servers"].default
    assert f":{ports['registry']}/" in url
    assert url == RegistrySettings.model_fields["url"].default
    assert str(environment["PENSTOCK_CLICKHOUSE_PORT"]) == ports["clickhouse"]


def test_every_port_is_published_once_and_on_loopback_only() -> None:
    published = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert all(port.startswith("127.0.0.1:") for port in published)
    assert len({port.split(":")[1] for port in published}) == len(published)


@pytest.mark.parametrize("name", BROKERS)
def test_a_broker_keeps_what_two_of_three_have_and_names_itself(name: str) -> None:
    environment = SERVICES[name]["environment"]
    voters = environment["KAFKA_CONTROLLER_QUORUM_VOTERS"].split(",")
    assert f"{environment['KAFKA_NODE_ID']}@{name}:9093" in voters
    assert [voter.partition("@")[2] for voter in voters] == [f"{broker}:9093" for broker in BROKERS]
    for setting in ("DEFAULT", "OFFSETS_TOPIC", "TRANSACTION_STATE_LOG"):
        assert environment[f"KAFKA_{setting}_REPLICATION_FACTOR"] == "3"
    assert environment["KAFKA_MIN_INSYNC_REPLICAS"] == environment["KAFKA_TRANSACTION_STATE_LOG_MIN_ISR"] == "2"
    port = SERVICES[name]["ports"][0].split(":")[1]
    assert environment["KAFKA_ADVERTISED_LISTENERS"] == f"HOST://127.0.0.1:{port},INTERNAL://{name}:29092"
    listeners = {listener.partition("://")[0] for listener in environment["KAFKA_LISTENERS"].split(",")}
    mapped = {pair.partition(":")[0] for pair in environment["KAFKA_LISTENER_SECURITY_PROTOCOL_MAP"].split(",")}
    assert listeners == mapped


def test_penstock_up_with_three_brokers_replicates_with_the_same_settings() -> None:
    embedded = broker_settings(Path("data"), 1, 2, Membership(1, "cluster", (2, 3, 4)))
    for variable, value in SERVICES["kafka-1"]["environment"].items():
        if re.search("_REPLICATION_FACTOR$|_ISR$|_INSYNC_REPLICAS$|_ROLES$", variable):
            assert str(embedded[variable.removeprefix("KAFKA_").lower().replace("_", ".")]) == value
    assert SERVICES["setup"]["environment"]["PENSTOCK_REPLICATION"] == str(len(BROKERS))


def test_our_processes_reach_every_broker_and_the_servers_by_their_names() -> None:
    for name in OURS:
        environment = SERVICES[name]["environment"]
        assert environment["PENSTOCK_KAFKA_BOOTSTRAP_SERVERS"] == ",".join(f"{name}:29092" for name in BROKERS)
        assert environment["PENSTOCK_CLICKHOUSE_HOST"] in SERVICES
        for url in (environment["PENSTOCK_REGISTRY_URL"], environment["OTEL_EXPORTER_OTLP_ENDPOINT"]):
            assert re.match(r"http://([\w-]+):", url)[1] in SERVICES


def test_every_volume_secret_dependency_topic_and_file_it_names_exists() -> None:
    named = {v.partition(":")[0] for s in SERVICES.values() for v in s.get("volumes", []) if v[0] not in "./"}
    assert named == set(COMPOSE["volumes"])
    assert {secret for s in SERVICES.values() for secret in s.get("secrets", [])} == set(COMPOSE["secrets"])
    assert {d for s in SERVICES.values() for d in s.get("depends_on", {})} <= set(SERVICES)
    assert set(re.findall(r"penstock\.[a-z.-]+\.v\d+", TEXT)) <= set(topics.TOPICS)
    for service in SERVICES.values():
        assert all((ROOT / folder).exists() for folder in host_folders(service))


def test_no_secret_is_in_an_environment() -> None:
    for name, service in SERVICES.items():
        for variable, value in service.get("environment", {}).items():
            if "PASSWORD" in variable:
                assert value.removeprefix("/run/secrets/") in service["secrets"], name


def test_every_service_is_restarted_and_limited_and_says_whether_it_is_well() -> None:
    for name, service in SERVICES.items():
        assert service["restart"] in ("unless-stopped", "on-failure"), name
        assert set(service["deploy"]["resources"]["limits"]) == {"cpus", "memory"}, name
        assert "healthcheck" in service or name == "otel-collector", name  # its image has no shell


def test_prometheus_asks_services_that_are_there_on_ports_they_serve() -> None:
    jobs = yaml.safe_load((ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text())["scrape_configs"]
    served = {"registry": 8080, "clickhouse": 9363, "otel-collector": 8888, "localhost": 9090}
    served |= dict.fromkeys(OURS, int(COMPOSE["x-inside"]["PENSTOCK_HEALTH_PORT"]))
    for job in jobs:
        for found in job.get("dns_sd_configs", []):
            assert served[found["names"][0]] == found["port"]
        for given in job.get("static_configs", []):
            host, _, port = given["targets"][0].partition(":")
            assert served[host] == int(port)
    assert f"<port>{served['clickhouse']}</port>" in (ROOT / "deploy/clickhouse/prometheus.xml").read_text()
    collector = yaml.safe_load((ROOT / "deploy/otel/collector.yml").read_text())
    assert (
        collector["service"]["telemetry"]["metrics"]["readers"][0]["pull"]["exporter"]["prometheus"]["port"]
        == 8888
    )
    receiver = collector["receivers"]["otlp"]["protocols"]["http"]["endpoint"]
    assert receiver.rpartition(":")[2] == COMPOSE["x-inside"]["OTEL_EXPORTER_OTLP_ENDPOINT"].rpartition(":")[2]


def test_only_the_worker_has_rights_and_the_page_names_each_with_its_reason() -> None:
    page = (ROOT / "docs" / "deployment.md").read_text()
    for name in OURS:
        assert SERVICES[name]["cap_drop"] == ["ALL"]
        assert ("cap_add" in SERVICES[name]) == (name == "worker")
    worker = SERVICES["worker"]
    rights = [*worker["cap_add"], *worker["security_opt"], *worker["device_cgroup_rules"], "cgroup: host"]
    rights += [volume.partition(":")[0] for volume in worker["volumes"] if volume.startswith("/")]
    rows = [line.split("|")[1] for line in page.splitlines() if line.startswith("| `")]
    assert all(any(f"`{right}`" in row for row in rows) for right in rights)


def test_every_stage_and_command_of_the_image_exists() -> None:
    text = DOCKERFILE.read_text()
    stages = re.findall(r"^FROM \S+ AS (\w+)$", text, re.MULTILINE)
    for name in OURS:
        assert SERVICES[name]["build"]["target"] in stages
        assert (ROOT / SERVICES[name]["build"]["dockerfile"]) == DOCKERFILE
    (user,) = re.findall(r"useradd --uid (\d+)", text)
    assert int(user) >= 1000
    assert text.index("USER penstock") < text.index("AS worker") < text.index("USER root")


def test_the_readers_script_is_a_script_and_its_statements_parse(clickhouse: ClickHouseSettings) -> None:
    script = ROOT / "deploy" / "clickhouse" / "reader.sh"
    assert subprocess.run(["bash", "-n", script], check=False).returncode == 0
    (statements,) = re.findall(r"<<SQL\n(.*?)\nSQL", script.read_text(), re.DOTALL)
    with connect(clickhouse) as client:
        for statement in filter(None, map(str.strip, statements.replace("$hash", "0" * 64).split(";"))):
            assert client.command("SELECT formatQuery({q:String})", parameters={"q": statement})


def test_what_the_image_installs_installs_in_a_clean_folder_and_runs(tmp_path: Path) -> None:
    for paths in re.findall(r"^COPY (?!--from)(.*)$", DOCKERFILE.read_text(), re.MULTILINE):
        *sources, target = paths.split()
        for source in sources:
            to = tmp_path / (source if target == "./" else target)
            to.parent.mkdir(parents=True, exist_ok=True)
            if (ROOT / source).is_dir():
                shutil.copytree(ROOT / source, to)
            else:
                shutil.copy(ROOT / source, to)
    subprocess.run([tmp_path / "deploy/image/install", tmp_path / "venv"], cwd=tmp_path, check=True)
    for command in ("streams", "loader", "worker", "audit", "topics", "schemas", "clickhouse"):
        ran = subprocess.run(
            [tmp_path / "venv/bin/penstock", command, "--help"], cwd=tmp_path, capture_output=True, check=False
        )
        assert ran.returncode == 0, ran.stderr.decode()
