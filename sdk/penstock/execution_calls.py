"""The client's methods about executions."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from uuid import uuid4

from penstock.arguments import CancelArguments, ListArguments, RunArguments, checked
from penstock.artifacts import ArtifactStore
from penstock.cancelling import Cancelling
from penstock.followed import Item, Terminal
from penstock.following import Following
from penstock.leasing import Leasing
from penstock.models import (
    Cursor,
    Execution,
    Lease,
    Submission,
)
from penstock.outcome import output_of, state_of
from penstock.reading import Reading
from penstock.submitting import Submitting
from penstock.view import Follow
from penstock_schemas import records as r
from penstock_schemas.topics import DEFAULT_QUEUE

REMEMBERED_SUBMISSIONS = 10_000
"""Of the newest the client knows where following starts; older ones are followed from their history."""


class ExecutionCalls:
    """Part of `Client`."""

    _submitting: Submitting
    _following: Following
    _cancelling: Cancelling
    _leasing: Leasing
    _reading: Reading
    _payloads: ArtifactStore | None
    _submitted: OrderedDict[str, Submission]

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
        max_attempts: int | None = None,
        reserve_tokens: int | None = None,
        queue: str = DEFAULT_QUEUE,
        metadata: Mapping[str, str] | None = None,
    ) -> Submission:
        """Ask for one execution; returns once Kafka has acknowledged the request.

        Args:
            agent: name under which the agent is registered with the workers.
            input: text; above 32 KiB it goes to the artifact store, where one is configured.
            tenant: who pays.
            request_id: your own id, unique within the tenant: the same request sent twice is answered once.
            user: the tenant's user; without one the tenant itself.
            model: asks the agent for this model.
            max_tokens: ceiling of output tokens over the whole execution.
            timeout_s: run deadline in seconds, from the start of an attempt.
            max_attempts: attempts in all.
            reserve_tokens: tokens of all kinds that all calls and attempts may use together; the default is for
                one call. What is reserved must fit the budgets of tenant and user.
            queue: which workers.
            metadata: your own labels, carried along.

        Raises:
            InvalidInput: an argument cannot be used; nothing was sent.
            PayloadTooLarge: input above 256 KiB and no artifact store.
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
            max_attempts=max_attempts,
            reserve_tokens=reserve_tokens,
            queue=queue,
            metadata=dict(metadata or {}),
        )
        submission = await self._submitting.submit(run, named_by_caller=request_id is not None)
        self._remember(submission)
        return submission

    def follow(
        self, execution_id: str, *, from_cursor: Cursor | None = None, timeout_s: float | None = None
    ) -> Follow:
        """The records of one execution as they happen, ending after its terminal event and last progress.

        An execution this client submitted is followed live from its request on. Any other begins with its
        history from ClickHouse and goes on live, without a gap or a repeat. Progress that can no longer be read
        appears as a `ProgressGap` in its place.

        `Follow.cursor` says after every record where to go on: given as `from_cursor`, to this client or any
        other, it yields exactly what came after, out of ClickHouse where Kafka no longer has it. A cursor made by
        hand, `Cursor(epoch=2, seq=40)`, leaves out the progress up to there, and shows every lifecycle event.

        All followers of a client share one Kafka consumer; a second one is there while any of them is behind. One
        that does not take its records holds up no other.

        Raises:
            NotFound: no such execution.
            FollowTimeout: it did not end within `timeout_s` seconds.
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
            ExecutionFailedError, ExecutionTimedOutError, ExecutionCancelledError: it ended without a result.
            FollowTimeout: it did not end within `timeout_s` seconds.
        """
        ending: Item | None = None
        async with aclosing(self.follow(execution_id, timeout_s=timeout_s)) as records:
            async for record in records:
                ending = record if self.settles(record) else ending
        assert isinstance(ending, r.Record), "following ends only after a record that settles it"
        return await self.output_of(ending)

    def settles(self, record: Item) -> bool:
        """Whether `record` says for good what became of its execution, or of this client's request for it."""
        if isinstance(record, r.RequestRefused):
            submission = self._submitted.get(record.execution_id)
            return submission is not None and submission.event_id == record.refused_event_id
        return isinstance(record, Terminal)

    async def output_of(self, ending: r.Record) -> str:
        """The output text of a record that ended an execution; see `result` for what it raises."""
        return await output_of(ending, self._payloads)

    async def get(self, execution_id: str) -> Execution:
        """The state of one execution as of now: what ClickHouse has, and what it has not loaded yet from Kafka.

        Raises:
            NotFound: no such execution.
        """
        records = await self._following.until_now(execution_id)
        return state_of(records, await self._reading.cost_nanousd(execution_id))

    async def cancel(self, execution_id: str, *, reason: str = "", tenant: str | None = None) -> Execution:
        """End an execution before its result: while it is queued, waits for a worker, or runs.

        Returns its state once it has ended: `cancelled`, or `completed` where the result came first. A running
        agent is told at once and has a second to return.

        Args:
            reason: why, for everyone who follows it; 500 characters at most.
            tenant: whose execution it is, where the caller knows; saves a look at its records.

        Raises:
            NotFound: the tenant has no such execution.
            AlreadyEnded: it had ended before.
            NotConfirmed: it was asked for, and nothing has ended yet.
        """
        wanted = checked(CancelArguments, execution_id=execution_id, tenant=tenant, reason=reason)
        await self._cancelling.cancel(wanted)
        return await self.get(execution_id)

    async def lease(self, execution_id: str) -> Lease:
        """Who holds an execution, which attempt that is, and until when. For display and coordination; advisory.

        The events say who was granted the attempt; the time is one hold after the newest sign of life of that
        worker which the lease authority has confirmed. Hence, as of `Lease.as_of`:

        - A holder that died a second ago is still shown as the holder, for up to one hold (30 s by default) from
          its last heartbeat: nobody can know better, and nobody else is granted the attempt before either.
        - Once `until` has passed without renewal `is_locked` is False, though the attempt may not have been
          declared lost yet; a worker that is cut off has stopped by itself before.
        - The answer may be outdated when you read it. To act on it safely, name `epoch` in what you do and
          refuse older ones; do not use it as a lock.

        Costs a query to ClickHouse, a look at the two partitions of the execution, and reading at most the last
        ten minutes (as a rule one) of one partition of the leases topic. Broker and local clock should agree.

        Raises:
            NotFound: no such execution.
        """
        return await self._leasing.of(execution_id, await self._following.until_now(execution_id))

    async def list(
        self, tenant: str | None = None, status: str | None = None, limit: int = 50
    ) -> Sequence[Execution]:
        """Executions as far as ClickHouse has loaded them (about a second behind), newest first."""
        return await self._reading.executions(checked(ListArguments, tenant=tenant, status=status, limit=limit))

    def _remember(self, submission: Submission) -> None:
        self._submitted[submission.execution_id] = submission
        if len(self._submitted) > REMEMBERED_SUBMISSIONS:
            self._submitted.popitem(last=False)
