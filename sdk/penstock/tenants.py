"""Changing and asking for limits of tenants and users, and waiting for what accounts answers."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import aclosing
from typing import TypeVar
from uuid import uuid4

from penstock.answers import CONFIRMED_WITHIN_S, Answers
from penstock.errors import NotConfirmed
from penstock.models import BudgetCheck, Tenant, UserBudget, moment_of
from penstock.money_arguments import BudgetArguments, TenantArguments, UserArguments
from penstock.submitting import Submitting, now_us
from penstock_schemas import records as r
from penstock_schemas.topics import ACCOUNTS_COMMANDS, ACCOUNTS_REQUESTS, Topic

T = TypeVar("T", bound=r.Record)


class Tenants:
    """Limits and budgets.

    Each of these:

    1. The end of the tenant's event partition is captured. A crash after this leaves nothing.
    2. The record is sent. A crash after this leaves a command in force and nobody told; a question asked in vain.
    3. The first answer to it after 1 is awaited.

    Each raises NotConfirmed where no answer comes in time.
    """

    def __init__(self, submitting: Submitting, answers: Answers) -> None:
        self._submitting = submitting
        self._answers = answers

    async def configure(self, wanted: TenantArguments) -> Tenant:
        """Create or change a tenant; returns its limits in force."""
        command = r.ConfigureTenant(
            event_id=str(uuid4()),
            tenant_id=wanted.tenant,
            occurred_at=now_us(),
            tier=wanted.tier,
            concurrency=wanted.concurrency,
            queue_limit=wanted.queue_limit,
            suspended=wanted.suspended,
            monthly_tokens=wanted.monthly_tokens,
            monthly_nanousd=wanted.monthly_usd,
            hard_budget=wanted.hard_budget,
        )
        answer = await self._answer(ACCOUNTS_COMMANDS, command, r.TenantConfigured, lambda _: True)
        return Tenant.model_validate(answer.model_dump(exclude={"event_id", "occurred_at"}))

    async def configure_user(self, wanted: UserArguments) -> UserBudget:
        """Set one user's budget; returns it as it is in force."""
        command = r.ConfigureUser(
            event_id=str(uuid4()),
            tenant_id=wanted.tenant,
            occurred_at=now_us(),
            user_id=wanted.user,
            monthly_tokens=wanted.monthly_tokens,
            monthly_nanousd=wanted.monthly_usd,
            hard_budget=wanted.hard_budget,
        )
        answer = await self._answer(
            ACCOUNTS_COMMANDS, command, r.UserConfigured, lambda configured: configured.user_id == wanted.user
        )
        return UserBudget.model_validate(answer.model_dump(exclude={"event_id", "occurred_at"}))

    async def check_budget(self, wanted: BudgetArguments) -> BudgetCheck:
        """Ask whether a run would be admitted."""
        question = r.CheckBudget(
            event_id=str(uuid4()),
            tenant_id=wanted.tenant,
            occurred_at=now_us(),
            user_id=wanted.user,
            model=wanted.model,
            tokens=wanted.tokens,
        )
        answer = await self._answer(
            ACCOUNTS_REQUESTS,
            question,
            r.BudgetChecked,
            lambda checked: checked.asked_event_id == question.event_id,
        )
        fields = answer.model_dump(exclude={"event_id", "occurred_at", "asked_event_id", "resets_at"})
        return BudgetCheck(**fields, resets_at=moment_of(answer.resets_at))

    async def _answer(
        self, topic: Topic, record: r.Record, answer_type: type[T], matches: Callable[[T], bool]
    ) -> T:
        ends = await self._answers.ends(record.tenant_id)
        await self._submitting.produce(topic, record)
        async with aclosing(self._answers.after(ends)) as answers:
            async for answer in answers:
                if isinstance(answer, answer_type) and answer.tenant_id == record.tenant_id and matches(answer):
                    return answer
        raise NotConfirmed(
            f"{type(record).__name__} of tenant {record.tenant_id!r} is on Kafka, and accounts has not answered "
            f"it within {CONFIRMED_WITHIN_S:g} s; it does once the streams process runs (`penstock status`)"
        )
