"""The asynchronous client: everything another service does with Penstock."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing
from types import TracebackType
from typing import Self
from uuid import uuid4

from penstock.arguments import RunArguments, TenantArguments, UsageArguments, checked
from penstock.connecting import KafkaConnection
from penstock.encoding import Encoding
from penstock.errors import ExecutionFailedError, ExecutionTimedOutError, PayloadTooLarge, RequestRejected
from penstock.following import Following
from penstock.history import History
from penstock.models import Bill, Cursor, Execution, Submission, Tenant
from penstock.reading import Reading
from penstock.settings import ArtifactSettings, ClickHouseSettings, KafkaSettings, RegistrySettings
from penstock.submitting import PayloadStore, Submitting
from penstock.tenants import Tenants
from penstock_schemas import records as r
from penstock_schemas.topics import DEFAULT_QUEUE

REMEMBERED_SUBMISSIONS = 10_000
"""Of the newest, the client knows where following starts; others are followed from their history."""


class Client:
    """Submits, follows and reads. Use as an async context manager; connects on first use.

    Settings left out are read from `PENSTOCK_*`, or from a running embedded stack.

    Args:
        kafka: where the cluster is.
        registry: where the schema registry is.
        clickhouse: where ClickHouse is.
        artifacts: where payloads above 32 KiB are kept.
        answer_within_s: how long any one server may keep a call waiting before it counts as unreachable.
    """

    def __init__(
        self,
        *,
        kafka: KafkaSettings | None = None,
        registry: RegistrySettings | None = None,
        clickhouse: ClickHouseSettings | None = None,
        artifacts: ArtifactSettings | None = None,
        answer_within_s: float = 10.0,
    ) -> None:
        self._kafka = KafkaConnection(kafka or KafkaSettings(), answer_within_s)
        self._encoding = Encoding((registry or RegistrySettings()).url, answer_within_s)
        self._reading = Reading(clickhouse or ClickHouseSettings(), answer_within_s)
        self._payloads = _payload_store(artifacts or ArtifactSettings())
        self._submitting = Submitting(self._kafka, self._encoding, self._payloads)
        self._following = Following(self._kafka, self._encoding, History(self._reading, self._kafka))
        self._tenants = Tenants(self._kafka, self._encoding, self._submitting)
        self._submitted: OrderedDict[str, Submission] = OrderedDict()
        self._open = AsyncExitStack()

    async def __aenter__(self) -> Self:
        for part in (self._kafka, self._encoding, self._reading):
            self._open.push_async_callback(part.close)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._open.aclose()

    async def submit(
        self,
        agent: str,
        input: str,
        *,
        tenant: str,
        request_id: str | None = None,
        user: str | None = None,
        model: str | None = None,
        max_tokens: int | None = None,
        timeout_s: int | None = None,
        queue: str = DEFAULT_QUEUE,
        metadata: Mapping[str, str] | None = None,
    ) -> Submission:
        """Ask for one execution; returns once Kafka has acknowledged the request.

        Args:
            agent: name under which the agent is registered with the workers.
            input: text; above 32 KiB it goes to the artifact store, where one is configured.
            tenant: who pays.
            request_id: your own id, unique within the tenant: the same request sent twice is answered once.
                Without one, a new one is made.
            user: the tenant's user; without one the tenant itself.
            model: asks the agent for this model.
            max_tokens: ceiling of output tokens over the whole execution.
            timeout_s: run deadline in seconds, from the start of an attempt.
            queue: which workers.
            metadata: your own labels, carried along.

        Raises:
            InvalidInput: an argument cannot be used; nothing was sent.
            PayloadTooLarge: input above 256 KiB and no artifact store.
            KafkaUnreachable, RegistryUnreachable, ArtifactStoreUnreachable: no answer in time.
        """
        run = checked(
            RunArguments,
            tenant=tenant,
            agent=agent,
            input=input,
            request_id=str(uuid4()) if request_id is None else request_id,
            user=user,
            model=model,
            max_tokens=max_tokens,
            timeout_s=timeout_s,
            queue=queue,
            metadata=dict(metadata or {}),
        )
        submission = await self._submitting.submit(run, named_by_caller=request_id is not None)
        self._submitted[submission.execution_id] = submission
        if len(self._submitted) > REMEMBERED_SUBMISSIONS:
            self._submitted.popitem(last=False)
        return submission

    def follow(
        self, execution_id: str, *, from_cursor: Cursor | None = None, timeout_s: float | None = None
    ) -> AsyncGenerator[r.Record, None]:
        """The records of one execution as they happen, ending after its terminal event and its last progress.

        An execution this client submitted is followed live from its request on. Any other begins with its
        history from ClickHouse and goes on live, without a gap or a repeat. `from_cursor` starts there instead.

        Raises:
            NotFound: no such execution.
            FollowTimeout: it did not end within `timeout_s` seconds.
            KafkaUnreachable, RegistryUnreachable, ClickHouseUnreachable: no answer in time.
        """
        if from_cursor is not None:
            return self._following.since(execution_id, from_cursor, timeout_s)
        if submission := self._submitted.get(execution_id):
            return self._following.submitted(submission, timeout_s)
        return self._following.known(execution_id, timeout_s)

    async def result(self, execution_id: str, *, timeout_s: float | None = None) -> str:
        """Wait for an execution to end and return its output text.

        Raises:
            RequestRejected: accounts said no; `reason` says why.
            ExecutionFailedError, ExecutionTimedOutError: it ended without a result.
            FollowTimeout: it did not end within `timeout_s` seconds.
        """
        async with aclosing(self.follow(execution_id, timeout_s=timeout_s)) as records:
            async for record in records:
                last = record
                if isinstance(record, r.ExecutionCompleted):
                    completed = record
        return await self.output_of(last)

    async def output_of(self, last: r.Record) -> str:
        """The output text of the record that ended an execution, fetched where it travels by reference.

        Raises:
            RequestRejected, ExecutionFailedError, ExecutionTimedOutError: it ended without one.
        """
