"""The synchronous client: the asynchronous one on an event loop in a background thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import Future
from datetime import datetime
from types import TracebackType
from typing import Any, Self, TypeVar

from penstock.client import Client
from penstock.conversation_models import Conversation, ConversationTurn, PostedMessage
from penstock.followed import Item
from penstock.kept import Artifact
from penstock.models import (
    Adjustment,
    BudgetCheck,
    Cursor,
    Execution,
    Lease,
    Price,
    Submission,
    Tenant,
    UnresolvedCall,
    UserBudget,
)
from penstock.money_arguments import PriceArguments
from penstock.pipelines.definition import PipelineDefinition
from penstock.pipelines.models import Pipeline, PipelineStage, StartedPipeline
from penstock.statements import Bill, SpendSummary
from penstock.view import Follow
from penstock_schemas.records.pipelines import PipelineEvent

T = TypeVar("T")


class SyncClient:
    """`Client` for code without an event loop; every method does what its namesake there does.

    Use as a context manager. May be shared between threads.

    Args:
        settings: the keyword arguments of `Client`.
    """

    def __init__(self, **settings: Any) -> None:
        self._settings = settings
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="penstock-client", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        try:
            self._client = self._wait(self._opened())
        except BaseException:
            self._stop_loop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._wait(self._client.__aexit__(kind, exc, trace))
        finally:
            self._stop_loop()

    def submit(self, agent: str, input: str, *, tenant: str, **options: Any) -> Submission:
        """Ask for one execution; `options` as in `Client.submit`."""
        return self._wait(self._client.submit(agent, input, tenant=tenant, **options))

    def follow(
        self, execution_id: str, *, from_cursor: Cursor | None = None, timeout_s: float | None = None
    ) -> SyncFollow:
        """The records of one execution as they happen; `cursor` of what it returns says where to go on."""
        follow = self._client.follow(execution_id, from_cursor=from_cursor, timeout_s=timeout_s)
        return SyncFollow(follow, self._wait)

    def result(self, execution_id: str, *, timeout_s: float | None = None) -> str:
        """Wait for an execution to end and return its output text."""
        return self._wait(self._client.result(execution_id, timeout_s=timeout_s))

    def get(self, execution_id: str) -> Execution:
        """The state of one execution as of now."""
        return self._wait(self._client.get(execution_id))

    def artifacts(self, execution_id: str) -> Sequence[Artifact]:
        """The files that the accepted attempt of an execution kept."""
        return self._wait(self._client.artifacts(execution_id))

    def read_artifact(self, execution_id: str, artifact: Artifact | str) -> bytes:
        """The bytes of one of these files."""
        return self._wait(self._client.read_artifact(execution_id, artifact))

    def cancel(self, execution_id: str, *, reason: str = "", tenant: str | None = None) -> Execution:
        """End an execution before its result."""
        return self._wait(self._client.cancel(execution_id, reason=reason, tenant=tenant))

    def lease(self, execution_id: str) -> Lease:
        """Who holds an execution, as of now; advisory."""
        return self._wait(self._client.lease(execution_id))

    def list(self, tenant: str | None = None, status: str | None = None, limit: int = 50) -> Sequence[Execution]:
        """Executions as far as ClickHouse has loaded them, newest first."""
        return self._wait(self._client.list(tenant, status, limit))

    def bill(
        self, tenant: str, month: str | None = None, *, user: str | None = None, dearest: int | None = None
    ) -> Bill:
        """A tenant's bill of one accounting month."""
        return self._wait(self._client.bill(tenant, month, user=user, dearest=dearest))

    def spend(
        self, tenant: str, start: datetime, end: datetime, *, user: str | None = None, dearest: int | None = None
    ) -> SpendSummary:
        """What calls cost that were made from `start` to before `end`."""
        return self._wait(self._client.spend(tenant, start, end, user=user, dearest=dearest))

    def tenants(self) -> Sequence[Tenant]:
        """Every configured tenant."""
        return self._wait(self._client.tenants())

    def configure_tenant(self, tenant: str, *, tier: str, **limits: Any) -> Tenant:
        """Operator: create or change a tenant; `limits` as in `Client.configure_tenant`."""
        return self._wait(self._client.configure_tenant(tenant, tier=tier, **limits))

    def configure_user(self, tenant: str, user: str, **limits: Any) -> UserBudget:
        """Operator: set one user's budget; `limits` as in `Client.configure_user`."""
        return self._wait(self._client.configure_user(tenant, user, **limits))

    def check_budget(self, tenant: str, tokens: int, **run: Any) -> BudgetCheck:
        """Whether a run would be admitted now; `run` as in `Client.check_budget`."""
        return self._wait(self._client.check_budget(tenant, tokens, **run))

    def prices(self) -> Sequence[Price]:
        """Every price an operator listed."""
        return self._wait(self._client.prices())

    def set_price(self, model: str, **amounts: Any) -> Price:
        """Operator: list one price; `amounts` as in `Client.set_price`."""
        return self._wait(self._client.set_price(model, **amounts))

    def set_prices(self, prices: Sequence[PriceArguments]) -> Sequence[Price]:
        """Operator: list prices, all or none."""
        return self._wait(self._client.set_prices(prices))

    def record_usage(self, *, tenant: str, usage_id: str, model: str, **tokens: Any) -> None:
        """Report one provider call made outside Penstock; `tokens` as in `Client.record_usage`."""
        self._wait(self._client.record_usage(tenant=tenant, usage_id=usage_id, model=model, **tokens))

    def post_message(self, content: str, *, tenant: str, user: str, **options: Any) -> PostedMessage:
        """Say something to an agent; `options` as in `Client.post_message`."""
        return self._wait(self._client.post_message(content, tenant=tenant, user=user, **options))

    def answer(self, posted: PostedMessage, *, timeout_s: float | None = None) -> ConversationTurn:
        """Wait for the agent's side of the turn that answers a message."""
        return self._wait(self._client.answer(posted, timeout_s=timeout_s))

    def conversation(self, conversation_id: str, *, tenant: str, user: str, turns: int = 100) -> Conversation:
        """A conversation with its latest turns, as of now."""
        return self._wait(self._client.conversation(conversation_id, tenant=tenant, user=user, turns=turns))

    def conversations(self, tenant: str, user: str, limit: int = 50) -> Sequence[Conversation]:
        """A user's conversations, the last used first."""
        return self._wait(self._client.conversations(tenant, user, limit))

    def content_of(self, turn: ConversationTurn) -> str:
        """What one side said, fetched where it travels by reference."""
        return self._wait(self._client.content_of(turn))

    def delete_conversation(self, conversation_id: str, *, tenant: str, user: str) -> None:
        """Forget a conversation."""
        self._wait(self._client.delete_conversation(conversation_id, tenant=tenant, user=user))

    def delete_user(self, tenant: str, user: str) -> int:
        """Operator: forget every conversation of a user; returns how many there were."""
        return self._wait(self._client.delete_user(tenant, user))

    def start_pipeline(
        self, definition: PipelineDefinition | Mapping[str, Any] | str, input: str, *, tenant: str, **options: Any
    ) -> StartedPipeline:
        """Run stages one after another; `options` as in `Client.start_pipeline`."""
        return self._wait(self._client.start_pipeline(definition, input, tenant=tenant, **options))

    def follow_pipeline(self, pipeline: StartedPipeline | str, **which: Any) -> Iterator[PipelineEvent]:
        """The events of a pipeline as they happen; `which` as in `Client.follow_pipeline`."""
        events = self._client.follow_pipeline(pipeline, **which)
        try:
            while (event := self._wait(_next(events))) is not None:
                yield event
        finally:
            self._wait(events.aclose())

    def pipeline_result(self, pipeline: StartedPipeline | str, **which: Any) -> str:
        """Wait for a pipeline to end and return its output text; `which` as in `Client.pipeline_result`."""
        return self._wait(self._client.pipeline_result(pipeline, **which))

    def pipeline(self, pipeline_id: str, *, tenant: str, user: str | None = None) -> Pipeline:
        """A pipeline with its stages, as of now."""
        return self._wait(self._client.pipeline(pipeline_id, tenant=tenant, user=user))

    def output_of_stage(self, stage: PipelineStage | Pipeline) -> str:
        """What a stage, or the whole pipeline, answered, fetched where it travels by reference."""
        return self._wait(self._client.output_of_stage(stage))

    def list_pipelines(self, tenant: str, **which: Any) -> Sequence[Pipeline]:
        """A tenant's pipelines, newest first; `which` as in `Client.list_pipelines`."""
        return self._wait(self._client.list_pipelines(tenant, **which))

    def cancel_pipeline(
        self, pipeline_id: str, *, tenant: str, user: str | None = None, reason: str = ""
    ) -> Pipeline:
        """End a pipeline before its result."""
        return self._wait(self._client.cancel_pipeline(pipeline_id, tenant=tenant, user=user, reason=reason))

    def resume_pipeline(self, pipeline_id: str, *, tenant: str, user: str | None = None) -> StartedPipeline:
        """Go on with a failed pipeline at the step that failed."""
        return self._wait(self._client.resume_pipeline(pipeline_id, tenant=tenant, user=user))

    def unresolved_calls(self, tenant: str | None = None) -> Sequence[UnresolvedCall]:
        """Calls that were started and never reported."""
        return self._wait(self._client.unresolved_calls(tenant))

    def settle_call(self, usage_id: str, **tokens: Any) -> UnresolvedCall:
        """Charge an unresolved call; `tokens` as in `Client.settle_call`."""
        return self._wait(self._client.settle_call(usage_id, **tokens))

    def correct_usage(self, usage_id: str, **corrected: Any) -> Adjustment:
        """Book what a call truly used; `corrected` as in `Client.correct_usage`."""
        return self._wait(self._client.correct_usage(usage_id, **corrected))

    def close_period(self, month: str) -> int:
        """Seal a month and every earlier one; returns how many partitions did."""
        return self._wait(self._client.close_period(month))

    async def _opened(self) -> Client:
        return await Client(**self._settings).__aenter__()

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        running: Future[T] = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return running.result()
        except BaseException:  # also Ctrl-C here: nothing goes on in the background unasked
            running.cancel()
            raise

    def _stop_loop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class SyncFollow(Iterator[Item]):
    """The items of one execution; made by `SyncClient.follow`. Close it where it is left before its end."""

    def __init__(self, follow: Follow, wait: Callable[[Coroutine[Any, Any, Any]], Any]) -> None:
        self._follow = follow
        self._wait = wait

    @property
    def cursor(self) -> Cursor | None:
        """As `Follow.cursor`."""
        return self._follow.cursor

    def __iter__(self) -> SyncFollow:
        return self

    def __next__(self) -> Item:
        item: Item | None = self._wait(_next(self._follow))
        if item is None:
            raise StopIteration
        return item

    def close(self) -> None:
        """Stop following."""
        self._wait(self._follow.aclose())


async def _next(items: AsyncIterator[T]) -> T | None:
    return await anext(items, None)
