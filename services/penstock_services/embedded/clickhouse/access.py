"""Who asks, and how much they may: the user `default` may do everything, the user `reader` may read."""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Mapping
from dataclasses import dataclass

from penstock_services.embedded.clickhouse.errors import (
    AUTHENTICATION_FAILED,
    BAD_ARGUMENTS,
    READONLY,
    ClickHouseError,
)
from penstock_services.embedded.clickhouse.guard import KINDS_OF_GET
from penstock_services.embedded.clickhouse.request import Call
from penstock_services.embedded.clickhouse.statement import Statement

USER = "default"
READER = "reader"
KINDS_OF_READER = KINDS_OF_GET | {"SET", "USE"}
"""The engine's own `readonly` lets SYSTEM, KILL and INSERT INTO FUNCTION through; this list is the boundary."""


@dataclass(frozen=True, slots=True)
class Account:
    """One user."""

    name: str
    password: str
    readonly: int = 0
    """As ClickHouse's setting: 0 everything; 1 reads; 2 reads, and changes settings other than this one."""


def authenticate(call: Call, accounts: Mapping[str, Account]) -> Account:
    """Whose call it is; passwords are compared in constant time.

    Raises:
        ClickHouseError: unknown user or wrong password, and not which of the two.
    """
    user, given = _credentials(call)
    account = accounts.get(user)
    expected = account.password if account else ""
    known = hmac.compare_digest(given.encode("utf-8", "surrogateescape"), expected.encode())
    if account is None or not known:
        raise ClickHouseError(
            AUTHENTICATION_FAILED,
            f"{user[:80]}: Authentication failed: password is incorrect, or there is no user with such name.",
        )
    return account


def readonly_level(call: Call, held: int) -> int:
    """How read-only a call is: as much as its session, or as much as it asks for itself.

    Args:
        held: the session's level.

    Raises:
        ClickHouseError: it asks for another level than a read-only session has, or for no level.
    """
    asked = call.params.get("readonly") or str(held)
    if asked not in ("0", "1", "2"):
        raise ClickHouseError(BAD_ARGUMENTS, f"readonly must be 0, 1 or 2, not {asked[:40]!r}")
    if held and int(asked) != held:
        raise ClickHouseError(READONLY, "Cannot modify 'readonly' setting in readonly mode")
    return int(asked)


def check_readonly(statement: Statement, level: int) -> None:
    """Raise `ClickHouseError` if `statement` does more than read, or sets what `level` does not let it set."""
    if level and statement.kind not in KINDS_OF_READER:
        raise ClickHouseError(READONLY, f"Cannot execute query in readonly mode: {statement.kind} writes")
    if level == 1 and (statement.kind == "SET" or statement.sets_settings):
        raise ClickHouseError(READONLY, "Cannot modify settings in readonly mode")


def _credentials(call: Call) -> tuple[str, str]:
    scheme, _, encoded = call.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "basic":
        try:
            user, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return "(unreadable)", ""
        return user, password
    user = call.params.get("user") or call.headers.get("x-clickhouse-user") or USER
    return user, call.params.get("password") or call.headers.get("x-clickhouse-key") or ""
