"""What each execution is part of, retold from the requests on Kafka. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from penstock_schemas import ids
from penstock_schemas.records import RequestExecution
from penstock_schemas.records.accounts import AccountedCall, ProviderCall
from penstock_schemas.topics import ACCOUNTS_REQUESTS
from penstock_services.topic_reader import Read

Origin = tuple[str | None, str | None]
"""(pipeline_id, conversation_id)."""
NOTHING: Origin = (None, None)
REMEMBERED_US = 7 * 86_400_000_000
"""Accounts knows a request for at least this long, in microseconds."""


def origin_in(line: AccountedCall) -> Origin:
    """What a line says."""
    return line.pipeline_id, line.conversation_id


class Origins:
    """The executions of an audit.

    Args:
        requests: every copy of every RequestExecution.
    """

    def __init__(self, requests: Iterable[Read]) -> None:
        self._asked: dict[str, tuple[int, frozenset[Origin]]] = {}
        for read in requests:
            request = read.record
            assert isinstance(request, RequestExecution)
            execution_id = ids.execution_id(request.tenant_id, request.request_id)
            first, origins = self._asked.get(execution_id, (read.timestamp, frozenset()))
            origin = (request.pipeline_id, request.conversation_id)
            self._asked[execution_id] = (min(first, read.timestamp), origins | {origin})

    def expected(self, call: Read) -> frozenset[Origin] | None:
        """What a line of the call reported as `call` may say; None where its request is on Kafka no longer.

        More than one where a request_id was used again, and where accounts may have known nothing of the
        execution: an outside service can report before its request is read, and anybody after it is forgotten.
        """
        usage = call.record
        assert isinstance(usage, ProviderCall)
        if usage.execution_id is None:
            return frozenset({NOTHING})
        if usage.execution_id not in self._asked:
            return None
        first, asked = self._asked[usage.execution_id]
        late = call.timestamp >= first + REMEMBERED_US
        return asked | {NOTHING} if late or call.topic == ACCOUNTS_REQUESTS.name else asked
