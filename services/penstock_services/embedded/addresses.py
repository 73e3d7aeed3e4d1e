"""Where the running stack can be reached: settings for our own processes, `stack.env` for everyone else."""

from __future__ import annotations

import secrets
from pathlib import Path

from penstock.settings import KafkaSettings
from penstock_services.embedded.atomic_file import write_atomically
from penstock_services.embedded.brokers import broker_names
from penstock_services.embedded.registry import registry_url
from penstock_services.embedded.state import Layout, StateFolder

CLICKHOUSE_USER = "default"
CLICKHOUSE_READER = "reader"
"""For people and dashboards: may read, and nothing else. Penstock's own processes do not use it."""
CLICKHOUSE_DATABASE = "penstock"


def address_settings(folder: StateFolder, layout: Layout) -> dict[str, str]:
    """The `PENSTOCK_*` settings that point at this stack, with the ClickHouse passwords."""
    return {
        "PENSTOCK_KAFKA_BOOTSTRAP_SERVERS": ",".join(
            f"127.0.0.1:{layout.ports[broker]}" for broker in broker_names(layout.brokers)
        ),
        "PENSTOCK_KAFKA_SECURITY_PROTOCOL": "PLAINTEXT",
        "PENSTOCK_REGISTRY_URL": registry_url(layout.ports["registry"]),
        "PENSTOCK_CLICKHOUSE_HOST": "127.0.0.1",
        "PENSTOCK_CLICKHOUSE_PORT": str(layout.ports["clickhouse"]),
        "PENSTOCK_CLICKHOUSE_USER": CLICKHOUSE_USER,
        "PENSTOCK_CLICKHOUSE_PASSWORD": ensure_password(folder.clickhouse_password),
        "PENSTOCK_CLICKHOUSE_READER_USER": CLICKHOUSE_READER,
        "PENSTOCK_CLICKHOUSE_READER_PASSWORD": ensure_password(folder.clickhouse_reader_password),
        "PENSTOCK_CLICKHOUSE_DATABASE": CLICKHOUSE_DATABASE,
        "PENSTOCK_CLICKHOUSE_SECURE": "false",
        "PENSTOCK_ARTIFACTS_URL": folder.artifacts.as_uri(),
    }


def loopback_kafka(bootstrap: str) -> KafkaSettings:
    """How to reach the stack's own brokers, whatever this shell has set for another cluster."""
    return KafkaSettings(bootstrap_servers=bootstrap, security_protocol="PLAINTEXT")


def publish(folder: StateFolder, settings: dict[str, str]) -> None:
    """Write `stack.env`, readable by this user only: it has a password."""
    lines = "".join(f"{name}={value}\n" for name, value in settings.items())
    write_atomically(folder.stack_env, lines.encode(), mode=0o600)


def ensure_password(path: Path) -> str:
    """The generated ClickHouse password in `path`, made on first use; readable by this user only."""
    if not path.exists():
        write_atomically(path, secrets.token_urlsafe(24).encode(), mode=0o600)
    return path.read_text().strip()
