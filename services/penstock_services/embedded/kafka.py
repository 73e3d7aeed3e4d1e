"""Apache Kafka as one KRaft node that is broker and controller, on the loopback interface, for one machine.

Measured on 2 cores (Kafka 4.3.1, Java 17): format 1.1 s, start 3 s, restart after kill -9 about 5 s, 190–300 MB
resident.
"""

from __future__ import annotations

import asyncio
import base64
import uuid
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

from penstock.errors import ProcessFailed
from penstock_services.embedded.class_archive import QUICK_START, archive_options
from penstock_services.embedded.jars import JavaServers
from penstock_services.embedded.java import Java
from penstock_services.embedded.probes import HealthProbe, kafka_probe
from penstock_services.embedded.process import ServerProcess

# 256 MB starts, but once failed to restart after kill -9: out of memory as the log cleaner started.
_HEAP = ("-Xms64m", "-Xmx512m")


def kafka_process(
    java: Java,
    servers: JavaServers,
    folder: Path,
    log_path: Path,
    port: int,
    controller_port: int,
    *,
    jvm_options: tuple[str, ...] | None = None,
    more_settings: Mapping[str, object] | None = None,
    format_options: tuple[str, ...] = (),
    health: HealthProbe | None = None,
) -> ServerProcess:
    """The broker with its data and settings in `folder`, for clients at 127.0.0.1:`port`.

    Args:
        jvm_options: instead of those that use the class archive.
        more_settings: the broker's, besides or instead of those it has here.
        format_options: of Kafka's storage tool, such as users to create.
        health: instead of a probe without a login.
    """
    settings, data = folder / "server.properties", folder / "data"
    log4j = f"-Dlog4j2.configurationFile={files(__package__) / 'log4j2.properties'}"
    classes = (*QUICK_START, log4j, "-cp", servers.kafka_classpath)
    with_archive = archive_options(java, servers, "kafka")
    options = with_archive if jvm_options is None else jvm_options

    async def prepare() -> None:
        _write_settings(settings, _server_properties(data, port, controller_port) | dict(more_settings or {}))
        if not is_formatted(folder):
            await _format((str(java.binary), *with_archive, *classes), settings, format_options)

    return ServerProcess(
        name="kafka",
        argv=(str(java.binary), *_HEAP, *options, *classes, "kafka.Kafka", str(settings)),
        log_path=log_path,
        health=health or kafka_probe(f"127.0.0.1:{port}"),
        ports={"kafka": port, "kafka-controller": controller_port},
        prepare=prepare,
    )


def is_formatted(folder: Path) -> bool:
    """Whether the broker's folder was formatted to the end (which writes this file last)."""
    return (folder / "data" / "meta.properties").exists()


def _write_settings(path: Path, settings: Mapping[str, object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))


async def _format(java_command: tuple[str, ...], settings: Path, options: tuple[str, ...]) -> None:
    command = ("kafka.tools.StorageTool", "format", "--cluster-id", _new_cluster_id(), "-c", str(settings))
    formatting = await asyncio.create_subprocess_exec(
        *(*java_command, *command, "--ignore-formatted", *options),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        said, _ = await formatting.communicate()
    finally:
        if formatting.returncode is None:
            formatting.kill()
    if formatting.returncode != 0:
        end = said.decode(errors="replace")[-2000:]
        raise ProcessFailed(f"kafka: its data folder could not be formatted:\n{end}")


def _new_cluster_id() -> str:
    cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    return cluster_id if not cluster_id.startswith("-") else _new_cluster_id()  # a dash reads as an option


def _server_properties(data: Path, port: int, controller_port: int) -> dict[str, object]:
    return {
        "process.roles": "broker,controller",
        "node.id": 1,
        "controller.quorum.voters": f"1@127.0.0.1:{controller_port}",
        "listeners": f"CLIENTS://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}",
        "advertised.listeners": f"CLIENTS://127.0.0.1:{port}",
        "listener.security.protocol.map": "CLIENTS:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "inter.broker.listener.name": "CLIENTS",
        "controller.listener.names": "CONTROLLER",
        "log.dirs": data,
        # A mistyped topic must be an error, not a new topic.
        "auto.create.topics.enable": "false",
        # One node holds the only copy of everything.
        "offsets.topic.replication.factor": 1,
        "transaction.state.log.replication.factor": 1,
        "transaction.state.log.min.isr": 1,
        "share.coordinator.state.topic.replication.factor": 1,
        "share.coordinator.state.topic.min.isr": 1,
        # Each is a folder and two mapped files: the defaults of 50 cost start-up time for nothing here.
        "offsets.topic.num.partitions": 4,
        "transaction.state.log.num.partitions": 4,
        "share.coordinator.state.topic.num.partitions": 1,
        # A group starts with its first member instead of waiting 3 s for more.
        "group.initial.rebalance.delay.ms": 0,
        # Faults are found fast: a short session is the member's choice (the default forbids less than 6 s).
        "group.min.session.timeout.ms": 1000,
        # A stopped producer holds up readers until its transaction times out and this scan sees it.
        "transaction.abort.timed.out.transaction.cleanup.interval.ms": 1000,
        # After kill -9 the controller refuses the new broker until the old one's session ends; the default is 9 s.
        "broker.session.timeout.ms": 3000,
        "broker.heartbeat.interval.ms": 500,
        "log.cleaner.dedupe.buffer.size": 32 * 1024 * 1024,
        "num.network.threads": 2,
        "num.io.threads": 4,
        "num.recovery.threads.per.data.dir": 2,
    }
