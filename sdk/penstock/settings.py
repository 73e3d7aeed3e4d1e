"""Where the servers are: one small settings model per server, read from `PENSTOCK_*` and the stack's file.

Order: environment variables, then `stack.env` in the state folder (`PENSTOCK_HOME`, default `.penstock`), then
files of secrets (`PENSTOCK_SECRETS`), then the defaults. `penstock up` writes `stack.env` with the ports and the
generated password of the embedded stack; a production process sets the variables and has no such file.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

from pydantic import SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from penstock.errors import InvalidInput


def state_folder() -> Path:
    """The state folder of the embedded stack: `PENSTOCK_HOME`, else `.penstock` in the working directory."""
    return Path(os.environ.get("PENSTOCK_HOME", ".penstock"))


def stack_file() -> Path:
    """The dotenv file in which a running embedded stack publishes its addresses."""
    return state_folder() / "stack.env"


def secrets_folder() -> Path | None:
    """A folder of files, each named as a variable in small letters and holding its value: `PENSTOCK_SECRETS`, else
    none. What is in a file need not be in an environment, which every child and `docker inspect` shows."""
    folder = os.environ.get("PENSTOCK_SECRETS")
    return Path(folder) if folder else None


class Settings(BaseSettings):
    """Base of every settings model; unknown variables are ignored, values are frozen once read.

    Raises:
        InvalidInput: a variable has a value that cannot be used; the message names both.
    """

    model_config = SettingsConfigDict(extra="ignore", frozen=True)

    def __init__(self, **values: Any) -> None:
        values.setdefault("_env_file", stack_file())
        values.setdefault("_secrets_dir", secrets_folder())
        try:
            super().__init__(**values)
        except ValidationError as exc:
            problem = exc.errors(include_url=False)[0]
            name = f"{self.model_config['env_prefix']}{problem['loc'][0]}".upper()
            raise InvalidInput(f"{name} {problem['input']!r}: {problem['msg']}") from exc


class KafkaSettings(Settings):
    """How to reach the Kafka cluster."""

    model_config = SettingsConfigDict(env_prefix="PENSTOCK_KAFKA_")

    bootstrap_servers: str = "127.0.0.1:9092"
    """Comma-separated host:port list."""
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"
    sasl_username: str | None = None
    sasl_password: SecretStr | None = None
    ssl_cafile: Path | None = None
    """A CA bundle to trust besides the system's."""

    def client_options(self) -> dict[str, Any]:
        """Keyword arguments for any aiokafka client."""
        options: dict[str, Any] = {
            "bootstrap_servers": self.bootstrap_servers,
            "security_protocol": self.security_protocol,
        }
        if self.security_protocol.endswith("SSL"):
            from aiokafka.helpers import create_ssl_context

            options["ssl_context"] = create_ssl_context(cafile=self.ssl_cafile)
        if self.security_protocol.startswith("SASL"):
            options |= {
                "sasl_mechanism": self.sasl_mechanism,
                "sasl_plain_username": self.sasl_username,
                "sasl_plain_password": self.sasl_password.get_secret_value() if self.sasl_password else None,
            }
        return options


class RegistrySettings(Settings):
    """How to reach the Confluent-compatible schema registry."""

    model_config = SettingsConfigDict(env_prefix="PENSTOCK_REGISTRY_")

    url: str = "http://127.0.0.1:8081/apis/ccompat/v7"
    """Base URL of the Confluent API."""


class ClickHouseSettings(Settings):
    """How to reach ClickHouse over HTTP."""

    model_config = SettingsConfigDict(env_prefix="PENSTOCK_CLICKHOUSE_")

    host: str = "127.0.0.1"
    port: int = 8123
    user: str = "default"
    password: SecretStr = SecretStr("")
    database: str = "penstock"
    secure: bool = False


class ArtifactSettings(Settings):
    """Where payloads above 32 KiB and artifacts are kept."""

    model_config = SettingsConfigDict(env_prefix="PENSTOCK_ARTIFACTS_")

    url: str | None = None
    """Any fsspec URL; None where this process has no artifact store."""
