"""ClickHouse's own error shape: a numeric code, a name, and the HTTP status the real server answers with."""

from __future__ import annotations

import re

from penstock.errors import PenstockError

SYNTAX_ERROR = (62, "SYNTAX_ERROR")
BAD_ARGUMENTS = (36, "BAD_ARGUMENTS")
NOT_IMPLEMENTED = (48, "NOT_IMPLEMENTED")
UNKNOWN_SETTING = (115, "UNKNOWN_SETTING")
READONLY = (164, "READONLY")
QUERY_IS_TOO_LARGE = (229, "QUERY_IS_TOO_LARGE")
NETWORK_ERROR = (210, "NETWORK_ERROR")
ABORTED = (236, "ABORTED")
SESSION_NOT_FOUND = (372, "SESSION_NOT_FOUND")
SESSION_IS_LOCKED = (373, "SESSION_IS_LOCKED")
ACCESS_DENIED = (497, "ACCESS_DENIED")
AUTHENTICATION_FAILED = (516, "AUTHENTICATION_FAILED")
NOT_AN_ENGINE_ERROR = 1002
"""ClickHouse's UNKNOWN_EXCEPTION: what failed was not the engine."""

_BAD_REQUEST = frozenset(
    [6, 8, 15, 25, 26, 27, 36, 37, 38, 41, 44, 53, 62, 72, 117, 123, 167, 168, 223, 321, 376, 427, 441, 675, 676]
)
_NOT_FOUND = frozenset([46, 47, 50, 56, 60, 63, 73, 78, 81, 115, 152, 336, 511])
_ALSO_BAD_REQUEST = frozenset([43, 69, 70, 130, 131, 164, 184, 210, 306, 372, 373, 386, 456, 457])
"""The client's own faults, for which some versions of the real server answer 500."""
HTTP_STATUS = {
    **dict.fromkeys((192, 193, 497, 512, 516), 403),
    **dict.fromkeys(_BAD_REQUEST | _ALSO_BAD_REQUEST, 400),
    **dict.fromkeys(_NOT_FOUND, 404),
    194: 401,
    48: 501,
    159: 408,
    **dict.fromkeys((76, 209, 236, 439), 503),
    229: 413,
}
"""As exceptionCodeToHTTPStatus.cpp of ClickHouse says; anything else is 500."""


class ClickHouseError(PenstockError):
    """A query refused or failed, as ClickHouse says it.

    Args:
        kind: numeric code and name, such as `(62, "SYNTAX_ERROR")`.
        message: what was wrong, without code and name.
    """

    def __init__(self, kind: tuple[int, str], message: str) -> None:
        self.code, name = kind
        super().__init__(f"Code: {self.code}. DB::Exception: {message} ({name})")

    @property
    def http_status(self) -> int:
        return HTTP_STATUS.get(self.code, 500)


class EngineError(ClickHouseError):
    """What the engine itself raised; the message is its own, with code and name inside."""

    def __init__(self, raised: BaseException) -> None:
        text = str(raised)
        found = re.search(r"Code: (\d+)\.", text)
        self.code = int(found.group(1)) if found else NOT_AN_ENGINE_ERROR
        message = text[found.start() :] if found else f"Code: {self.code}. DB::Exception: {raised!r}"
        PenstockError.__init__(self, message.strip())
