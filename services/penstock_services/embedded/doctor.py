"""`penstock doctor`: what this machine and this folder lack, with what to do about each."""

from __future__ import annotations

import asyncio
import importlib.metadata
import importlib.util
import sys
from collections.abc import Callable
from typing import Literal

from pydantic import BaseModel

from penstock.errors import PenstockError
from penstock.settings import ClickHouseSettings, KafkaSettings, RegistrySettings
from penstock_services.embedded.jars import cache_folder, cached_java_servers
from penstock_services.embedded.java import find_java, find_maven
from penstock_services.embedded.ports import port_uses, why_not_free
from penstock_services.embedded.probes import HealthProbe, http_probe, kafka_probe
from penstock_services.embedded.registry import registry_probe
from penstock_services.embedded.run_file import RunReport
from penstock_services.embedded.state import Layout, StateFolder, free_space_mb, min_free_mb
from penstock_services.sandbox.host import require_host

_EXTRAS = {"platform": ("faust", "rocksdict", "psutil", "pyarrow"), "embedded": ("chdb", "uvicorn")}


class Finding(BaseModel):
    """One line of the doctor's table."""

    check: str
    result: Literal["ok", "problem"]
    found: str
    remedy: str = ""


async def examine(folder: StateFolder) -> list[Finding]:
    """Every check. Servers are only asked where a stack of this folder runs or settings name some."""
    report = RunReport.read(folder.run_file)
    running = report is not None and report.supervisor.process().is_alive()
    findings = [
        _python(),
        *map(_extra, _EXTRAS),
        _ask("java", _java),
        _ask("maven", _maven),
        _ask("disk", _disk(folder)),
    ]
    findings.append(_ask("state folder", _state(folder)))
    findings.append(_ask("sandbox", _sandbox))
    if not running:
        findings += _ports(folder)
    if running or "bootstrap_servers" in KafkaSettings().model_fields_set:
        findings += await _servers()
    return findings


def _ask(check: str, question: Callable[[], str]) -> Finding:
    try:
        return Finding(check=check, result="ok", found=question())
    except PenstockError as exc:
        what, _, remedy = str(exc).partition(". ")
        return Finding(check=check, result="problem", found=what, remedy=remedy)


def _python() -> Finding:
    version = f"Python {sys.version.split()[0]}, penstock {importlib.metadata.version('penstock')}"
    return Finding(check="python", result="ok", found=version)


def _extra(extra: str) -> Finding:
    missing = [name for name in _EXTRAS[extra] if importlib.util.find_spec(name) is None]
    if missing:
        remedy = f"pip install 'penstock[{extra}]'"
        return Finding(check=f"extra [{extra}]", result="problem", found=f"no {', '.join(missing)}", remedy=remedy)
    return Finding(check=f"extra [{extra}]", result="ok", found="installed")


def _java() -> str:
    java = find_java()
    return f"Java {java.major} at {java.binary} (by {java.found_by})"


def _sandbox() -> str:
    require_host()
    return "can be made; penstock verify isolation tries its limits"


def _maven() -> str:
    if cached_java_servers() is not None:
        return f"not needed: broker and registry are in {cache_folder()}"
    return str(find_maven())


def _disk(folder: StateFolder) -> Callable[[], str]:
    def question() -> str:
        folder.require_free_space()
        return f"{free_space_mb(folder.path)} MB free, {min_free_mb()} wanted"

    return question


def _state(folder: StateFolder) -> Callable[[], str]:
    def question() -> str:
        folder.refuse_foreign()
        layout = folder.layout()
        folder.refuse_half_written()
        return f"{folder.path}, {_size(layout)}" if layout else f"{folder.path}, not made yet"

    return question


def _size(layout: Layout) -> str:
    brokers = f"{layout.brokers} brokers, " if layout.brokers > 1 else ""
    return f"{brokers}{layout.partitions} partitions"


def _ports(folder: StateFolder) -> list[Finding]:
    try:
        layout = folder.layout()
    except PenstockError:  # said by the check of the folder
        layout = None
    findings = []
    for use in port_uses():
        port = (layout.ports.get(use.name) if layout else None) or use.default
        if port is None or use.default is None:
            continue
        reason = why_not_free(port)
        findings.append(
            Finding(
                check=f"port {port} ({use.name})",
                result="problem" if reason else "ok",
                found=reason or "free",
                remedy=f"stop that program, or start with {use.option} or --ports auto" if reason else "",
            )
        )
    return findings


async def _servers() -> list[Finding]:
    clickhouse = ClickHouseSettings()
    scheme = "https" if clickhouse.secure else "http"
    brokers = [each.strip() for each in KafkaSettings().bootstrap_servers.split(",")]
    asked: list[tuple[str, str, HealthProbe]] = [
        *((f"kafka at {each}" if len(brokers) > 1 else "kafka", "KAFKA", kafka_probe(each)) for each in brokers),
        ("registry", "REGISTRY", registry_probe(RegistrySettings().url)),
        ("clickhouse", "CLICKHOUSE", http_probe(f"{scheme}://{clickhouse.host}:{clickhouse.port}/ping")),
    ]
    answers = await asyncio.gather(*(probe() for _, _, probe in asked))
    return [
        Finding(
            check=f"{name} answers",
            result="problem" if answer else "ok",
            found=answer or "yes",
            remedy=f"`penstock status` and its log, or check PENSTOCK_{settings}_*" if answer else "",
        )
        for (name, settings, _), answer in zip(asked, answers, strict=True)
    ]
