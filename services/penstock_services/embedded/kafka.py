"""Apache Kafka as a KRaft node that is broker and controller, on the loopback interface: alone, or one of three.

Measured on 2 cores (Kafka 4.3.1, Java 17): format 1.1 s, start 3 s, restart after kill -9 about 5 s, 190–300 MB
resident.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

from penstock.errors import ProcessFailed
from penstock_services.embedded.broker_settings import broker_settings
from penstock_services.embedded.brokers import Membership, broker_names, new_cluster_id
from penstock_services.embedded.class_archive import SMALL_HEAP, archive_options
from penstock_services.embedded.jars import JavaServers
from penstock_services.embedded.java import Java
from penstock_services.embedded.ports import controller_of
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
    member: Membership | None = None,
    jvm_options: tuple[str, ...] | None = None,
    more_settings: Mapping[str, object] | None = None,
    format_options: tuple[str, ...] = (),
    health: HealthProbe | None = None,
) -> ServerProcess:
    """The broker with its data and settings in `folder`, for clients at 127.0.0.1:`port`.

    Args:
        member: its place in a cluster of several; None where it is alone.
        jvm_options: instead of those that use the class archive.
        more_settings: the broker's, besides or instead of those it has here.
        format_options: of Kafka's storage tool, such as users to create.
        health: instead of a probe without a login.
    """
    settings, data = folder / "server.properties", folder / "data"
    name = broker_names(1)[0] if member is None else member.name
    log4j = f"-Dlog4j2.configurationFile={files(__package__) / 'log4j2.properties'}"
    classes = (*SMALL_HEAP, log4j, "-cp", servers.kafka_classpath)
    with_archive = archive_options(java, servers, "kafka")
    options = with_archive if jvm_options is None else jvm_options

    async def prepare() -> None:
        _write_settings(settings, broker_settings(data, port, controller_port, member) | dict(more_settings or {}))
        if not is_formatted(folder):
            cluster_id = new_cluster_id() if member is None else member.cluster_id
            await _format((str(java.binary), *with_archive, *classes), settings, cluster_id, format_options)

    return ServerProcess(
        name=name,
        argv=(str(java.binary), *_HEAP, *options, *classes, "kafka.Kafka", str(settings)),
        log_path=log_path,
        health=health or kafka_probe(f"127.0.0.1:{port}", itself=True),
        ports={name: port, controller_of(name): controller_port},
        prepare=prepare,
    )


def is_formatted(folder: Path) -> bool:
    """Whether the broker's folder was formatted to the end (which writes this file last)."""
    return (folder / "data" / "meta.properties").exists()


def _write_settings(path: Path, settings: Mapping[str, object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))


async def _format(
    java_command: tuple[str, ...], settings: Path, cluster_id: str, options: tuple[str, ...]
) -> None:
    command = ("kafka.tools.StorageTool", "format", "--cluster-id", cluster_id, "-c", str(settings))
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
