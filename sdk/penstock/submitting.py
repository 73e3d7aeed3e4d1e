"""Writing: requests and usage from outside."""

from __future__ import annotations

import time
from uuid import uuid4

from penstock.arguments import RunArguments
from penstock.artifacts import ArtifactStore
from penstock.connecting import KafkaConnection
from penstock.encoding import Encoding
from penstock.errors import KafkaUnreachable, PayloadTooLarge
from penstock.models import Cursor, Submission
from penstock.tracing import current_headers, sending_span
from penstock_schemas import records as r
from penstock_schemas.ids import execution_id
from penstock_schemas.topics import (
    ACCOUNTS_REQUESTS,
    EXECUTIONS_EVENTS,
    EXECUTIONS_PROGRESS,
    MAX_INLINE_BYTES,
    MAX_REQUEST_INPUT_BYTES,
    Topic,
)


class Submitting:
    """Puts a client's records on Kafka.

    Args:
        kafka: where the records go.
        encoding: how they become bytes.
        payloads: takes inputs above 32 KiB; None where none is configured.
    """

    def __init__(self, kafka: KafkaConnection, encoding: Encoding, payloads: ArtifactStore | None) -> None:
        self._kafka = kafka
        self._encoding = encoding
        self._payloads = payloads

    async def submit(self, run: RunArguments, *, named_by_caller: bool) -> Submission:
        """Request one execution.

        1. The input goes to the artifact store where it is large. A crash after this leaves an unused blob.
        2. The end offsets of the execution's two partitions are captured. A crash after this leaves nothing.
        3. The request is sent and acknowledged by all in-sync replicas. A crash between sending and the
           acknowledgement leaves the caller not knowing; the same request id may be sent again, and is
           answered once.

        Raises:
            PayloadTooLarge: above 256 KiB and no artifact store.
            Unreachable: Kafka, the registry or the artifact store.
        """
        inline, ref = await self._payload(run.input)
        request = r.RequestExecution(
            event_id=str(uuid4()),  # not derived: two different requests under one id must differ
            tenant_id=run.tenant,
            occurred_at=now_us(),
            request_id=run.request_id,
            user_id=run.user,
            agent_type=run.agent,
            model=run.model,
            input=inline,
            input_ref=ref,
            max_tokens=run.max_tokens,
            timeout_s=run.timeout_s,
            max_attempts=run.max_attempts,
            reserve_tokens=run.reserve_tokens,
            queue=run.queue,
            metadata=run.metadata,
        )
        execution = execution_id(run.tenant, run.request_id)
        cursor = await self.cursor_now(execution)
        try:
            with sending_span(ACCOUNTS_REQUESTS, execution, run.agent):
                await self.produce(ACCOUNTS_REQUESTS, request)
        except KafkaUnreachable as exc:
            raise KafkaUnreachable(
                f"{exc} The request may or may not have arrived: submit it again with "
                f"request_id {run.request_id!r}, and it is answered once."
            ) from exc
        return Submission(
            execution_id=execution,
            tenant_id=run.tenant,
            request_id=run.request_id,
            event_id=request.event_id,
            cursor=cursor,
            named_by_caller=named_by_caller,
        )

    async def cursor_now(self, execution: str) -> Cursor:
        """Where a reader of `execution` starts who wants only what is still to come."""
        events = await self._kafka.partition_of(EXECUTIONS_EVENTS, execution)
        progress = await self._kafka.partition_of(EXECUTIONS_PROGRESS, execution)
        ends = await self._kafka.end_offsets([events, progress])
        return Cursor(events_offset=ends[events], progress_offset=ends[progress])

    async def produce(self, topic: Topic, record: r.Record) -> None:
        """Write `record` to the partition its value belongs to, and wait for the acknowledgement.

        It carries the trace of the current span.
        """
        value = await self._encoding.encode(topic, record)
        to = await self._kafka.partition_for_record(topic, record)
        await self._kafka.send(to, value, key=topic.routing_key(record).encode(), headers=current_headers())

    async def _payload(self, text: str) -> tuple[str | None, r.PayloadRef | None]:
        size = len(text.encode())
        if size > MAX_INLINE_BYTES and self._payloads is not None:
            return None, await self._payloads.put(text.encode())
        if size > MAX_REQUEST_INPUT_BYTES:
            raise PayloadTooLarge(
                f"input of {size} bytes is above {MAX_REQUEST_INPUT_BYTES}; set PENSTOCK_ARTIFACTS_URL "
                "to a folder or bucket that this process and the workers share, and it travels by reference"
            )
        return text, None


def now_us() -> int:
    """Microseconds since the epoch, UTC."""
    return time.time_ns() // 1000
