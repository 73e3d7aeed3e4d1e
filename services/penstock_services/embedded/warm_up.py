"""Run the broker and the registry once, to write the class archives with which they start in half the time."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

from penstock.errors import PenstockError
from penstock_services.embedded.class_archive import archive_folder, writing_options
from penstock_services.embedded.jars import JavaServers, Report, locked
from penstock_services.embedded.java import Java
from penstock_services.embedded.kafka import kafka_process
from penstock_services.embedded.ports import free_ports
from penstock_services.embedded.process import running
from penstock_services.embedded.registry import registry_process

_WRITES_WITHIN_S = 60.0


async def ensure_class_archives(java: Java, servers: JavaServers, report: Report = lambda line: None) -> None:
    """Write the archives unless they are there (about 20 s, once for each build of Java).

    They only save time: where they cannot be written the servers start without them, and it is not tried again.
    Complete or absent like the files they are made from: written beside, then renamed.
    """
    target = archive_folder(java, servers)
    if target.exists():
        return
    with locked(target.with_suffix(".lock"), report):
        if target.exists():  # another caller wrote them while this one waited
            return
        report("preparing the broker and the registry for short starts, once (20 s)")
        partial = target.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        try:
            with tempfile.TemporaryDirectory(prefix="penstock-") as scratch:
                await _run_once(java, servers, Path(scratch), partial)
        except PenstockError as exc:
            report(f"they could not be prepared ({str(exc).splitlines()[0]}) and will start slower")
        partial.rename(target)


async def _run_once(java: Java, servers: JavaServers, scratch: Path, archives: Path) -> None:
    port, controller_port, registry_port = free_ports(3)
    kafka = kafka_process(
        java,
        servers,
        scratch / "kafka",
        scratch / "kafka.log",
        port,
        controller_port,
        jvm_options=writing_options(archives, "kafka"),
    )
    registry = registry_process(
        java,
        servers,
        registry_port,
        scratch / "registry.log",
        kafka_bootstrap=f"127.0.0.1:{port}",
        jvm_options=writing_options(archives, "registry"),
    )
    # Archives are written as the JVM ends.
    kafka, registry = (replace(server, stop_timeout_s=_WRITES_WITHIN_S) for server in (kafka, registry))
    async with running(kafka), running(registry):
        pass
