"""What one HTTP request asks for: who asks, in which session, database and settings, with which parameters."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from penstock_services.embedded.clickhouse.errors import (
    BAD_ARGUMENTS,
    ClickHouseError,
)

_NOT_SETTINGS = frozenset(
    (
        *("query", "database", "user", "password", "session_id", "session_timeout", "session_check", "query_id"),
        *(
            "default_format",
            "buffer_size",
            "wait_end_of_query",
            "quota_key",
            "client_protocol_version",
            "client_name",
            "readonly",
        ),
    )
)
"""Parameters of the HTTP interface itself; every other one is a setting of the engine."""
_UNSUPPORTED = frozenset({"compress", "decompress", "role", "close_session", "stacktrace"})
DEFAULT_TIMEOUT_S = 60.0
"""Of a session, as on the real server (default_session_timeout)."""
MAX_PARAMETERS = 4096


@dataclass(slots=True)
class Call:
    """One request, parsed and not yet trusted."""

    method: str
    headers: Mapping[str, str]
    """Lower-case names."""
    params: dict[str, str]
    """Of the URL, and of a form where one was sent."""
    query_id: str = field(init=False)

    def __post_init__(self) -> None:
        self.query_id = str(uuid.uuid4())

    @classmethod
    def of(cls, scope: Mapping[str, Any]) -> Call:
        """The call of an ASGI HTTP scope."""
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        return cls(scope["method"], headers, {}).with_params(scope["query_string"].decode("latin-1"))

    def with_params(self, query_string: str) -> Call:
        """Take the URL's parameters over.

        Raises:
            ClickHouseError: too many, not UTF-8, or one this interface does not offer.
        """
        try:
            pairs = parse_qsl(query_string, keep_blank_values=True, errors="strict", max_num_fields=MAX_PARAMETERS)
        except ValueError as exc:
            raise ClickHouseError(BAD_ARGUMENTS, f"URL parameters cannot be read: {exc}") from exc
        self.params.update(pairs)
        for name in _UNSUPPORTED & self.params.keys():
            if self.params[name] not in ("", "0"):
                raise ClickHouseError(
                    BAD_ARGUMENTS, f"parameter {name!r} is not offered by this development engine"
                )
        wanted = self.params.get("query_id") or self.query_id
        if len(wanted) > 256 or not wanted.isprintable() or not wanted.isascii():
            raise ClickHouseError(BAD_ARGUMENTS, "query_id must be up to 256 printable ASCII characters")
        self.query_id = wanted
        return self

    @property
    def sql(self) -> bytes:
        """The statement in the URL; the rest of it or its rows may follow in the body."""
        return self.params.get("query", "").encode()

    @property
    def reads_only(self) -> bool:
        return self.method in ("GET", "HEAD")

    @property
    def database(self) -> str | None:
        return self.params.get("database") or self.headers.get("x-clickhouse-database") or None

    @property
    def default_format(self) -> str | None:
        return self.params.get("default_format") or self.headers.get("x-clickhouse-format")

    @property
    def session_id(self) -> str | None:
        return self.params.get("session_id") or None

    @property
    def session_must_exist(self) -> bool:
        return self.params.get("session_check") == "1"

    @property
    def session_timeout_s(self) -> float:
        value = self.params.get("session_timeout", "")
        if value and not value.isdecimal():
            raise ClickHouseError(BAD_ARGUMENTS, f"session_timeout must be whole seconds, not {value[:40]!r}")
        return min(float(value or DEFAULT_TIMEOUT_S), 3600.0)

    @property
    def settings(self) -> dict[str, str]:
        """Engine settings among the parameters."""
        named = {n: v for n, v in self.params.items() if n not in _NOT_SETTINGS | _UNSUPPORTED}
        return {n: v for n, v in named.items() if not n.startswith("param_")}

    @property
    def parameters(self) -> dict[str, str]:
        """Values for `{name:Type}` placeholders."""
        found = {n.removeprefix("param_"): v for n, v in self.params.items() if n.startswith("param_")}
        for name in found:
            if not name.isidentifier():
                raise ClickHouseError(BAD_ARGUMENTS, f"query parameter {name[:80]!r} is no identifier")
        return found
