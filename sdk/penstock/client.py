"""The asynchronous client: everything another service does with Penstock."""

from __future__ import annotations

from collections import OrderedDict
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

from penstock.account_calls import AccountCalls
from penstock.answers import Answers
from penstock.artifact_calls import ArtifactCalls
from penstock.artifacts import store_of
from penstock.billing import Billing
from penstock.broadcasting import Broadcasting
from penstock.cancelling import Cancelling
from penstock.connecting import KafkaConnection
from penstock.conversation_calls import ConversationCalls
from penstock.conversation_reading import ConversationReading
from penstock.conversing import Conversing
from penstock.dead_letters import DeadLetters
from penstock.encoding import Encoding
from penstock.execution_calls import ExecutionCalls
from penstock.following import Following
from penstock.history import History
from penstock.leasing import Leasing
from penstock.models import Submission
from penstock.periods import Periods
from penstock.pipelines.calls import PipelineCalls
from penstock.pipelines.reading import PipelineReading
from penstock.pipelines.running import Pipelining
from penstock.prices import Prices
from penstock.reading import Reading
from penstock.settings import ArtifactSettings, ClickHouseSettings, KafkaSettings, RegistrySettings
from penstock.submitting import Submitting
from penstock.tenants import Tenants
from penstock.usage import Usage
from penstock.usage_calls import UsageCalls


class Client(ExecutionCalls, ArtifactCalls, ConversationCalls, PipelineCalls, AccountCalls, UsageCalls):
    """Submits, follows and reads. Use as an async context manager; connects on first use.

    Any call may raise `KafkaUnreachable`, `RegistryUnreachable` or `ClickHouseUnreachable`, each with the
    address and the setting that names it, once that server has not answered for `answer_within_s`.

    Args:
        kafka: where the cluster is; like the others, read from `PENSTOCK_*` or a running stack if left out.
        registry: where the schema registry is.
        clickhouse: where ClickHouse is.
        artifacts: where payloads above 32 KiB are kept.
        answer_within_s: how long any one server may keep a call waiting.
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
        self._payloads = store_of(artifacts or ArtifactSettings())
        self._kafka = KafkaConnection(kafka or KafkaSettings(), answer_within_s)
        self._encoding = Encoding((registry or RegistrySettings()).url, answer_within_s)
        self._reading = Reading(clickhouse or ClickHouseSettings(), answer_within_s)
        self._billing = Billing(self._reading)
        self._submitting = Submitting(self._kafka, self._encoding, self._payloads)
        self._following = Following(self._kafka, self._encoding, History(self._reading, self._kafka))
        self._cancelling = Cancelling(self._submitting, self._following)
        self._leasing = Leasing(self._kafka, self._encoding)
        self._conversations = ConversationReading(self._reading)
        self._conversing = Conversing(self._kafka, self._encoding, self._submitting, self._conversations)
        self._pipelines = PipelineReading(self._reading)
        self._pipelining = Pipelining(self._kafka, self._encoding, self._submitting, self._pipelines)
        answers, broadcasting = Answers(self._kafka, self._encoding), Broadcasting(self._kafka, self._encoding)
        self._tenants = Tenants(self._submitting, answers)
        self._prices = Prices(answers, broadcasting)
        self._periods = Periods(answers, broadcasting)
        self._usage = Usage(self._submitting, answers, self._reading)
        self.dead_letters = DeadLetters(self._kafka, self._encoding, self._reading)
        self._submitted: OrderedDict[str, Submission] = OrderedDict()
        self._open = AsyncExitStack()

    async def __aenter__(self) -> Self:
        for part in (self._kafka, self._encoding, self._reading, self._following):  # closed in reverse
            self._open.push_async_callback(part.close)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._open.aclose()
