"""Apicurio Registry with the Confluent API, on the loopback interface.

Its schemas are kept in Kafka (`kafkasql`); without a broker they live in memory and die with it, which unit-level
tests use. Measured on 2 cores: 9 s with Kafka, 4 s in memory; 230–250 MB resident.
"""

from __future__ import annotations

from pathlib import Path

from penstock_schemas.registry import readiness_url
from penstock_services.embedded.class_archive import FIRST_COMPILER, SMALL_HEAP, archive_options
from penstock_services.embedded.jars import JavaServers
from penstock_services.embedded.java import Java
from penstock_services.embedded.probes import HealthProbe, http_probe
from penstock_services.embedded.process import ServerProcess

_HEAP = ("-Xms32m", "-Xmx192m")
CONFLUENT_API = "/apis/ccompat/v7"


def registry_url(port: int) -> str:
    """The Confluent API of the registry at `port`."""
    return f"http://127.0.0.1:{port}{CONFLUENT_API}"


def registry_probe(url: str) -> HealthProbe:
    """Healthy when the registry with the Confluent API `url` has read its schemas and serves them."""
    return http_probe(readiness_url(url) or f"{url}/subjects")


def registry_process(
    java: Java,
    servers: JavaServers,
    port: int,
    log_path: Path,
    *,
    kafka_bootstrap: str | None,
    jvm_options: tuple[str, ...] | None = None,
) -> ServerProcess:
    """The registry at 127.0.0.1:`port`.

    Args:
        kafka_bootstrap: where its schemas are kept; None keeps them in memory only. It may still be starting.
        jvm_options: instead of those that use the class archive.
    """
    options = archive_options(java, servers, "registry") if jvm_options is None else jvm_options
    storage = {"APICURIO_STORAGE_KIND": "sql"}
    if kafka_bootstrap is not None:
        storage = {
            "APICURIO_STORAGE_KIND": "kafkasql",
            "APICURIO_KAFKASQL_BOOTSTRAP_SERVERS": kafka_bootstrap,
            # At its start it waits out one empty poll of this length: 5 s by default, half of the whole start.
            "APICURIO_KAFKASQL_CONSUMER_POLL_TIMEOUT": "250",
        }
    return ServerProcess(
        name="registry",
        argv=(str(java.binary), *_HEAP, *options, *SMALL_HEAP, FIRST_COMPILER, "-jar", str(servers.registry_jar)),
        env={
            "QUARKUS_HTTP_HOST": "127.0.0.1",
            "QUARKUS_HTTP_PORT": str(port),
            "QUARKUS_HTTP_ACCESS_LOG_ENABLED": "false",  # a line for each of our own health probes
            **storage,
        },
        log_path=log_path,
        health=registry_probe(registry_url(port)),
        ports={"registry": port},
        # A Kafka setting it does not like, and it neither serves nor ends: only the time limit shows it.
        start_timeout_s=90.0,
        # Without its broker it hangs as it stops. What it acknowledged is in Kafka: there is nothing to lose.
        stops_before=("kafka",) if kafka_bootstrap is not None else (),
        stop_timeout_s=5.0,
    )
