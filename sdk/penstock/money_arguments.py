"""The caller's arguments about money and what it buys: usage, prices, budgets, bills."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from pydantic import AwareDatetime, BeforeValidator, Field, ValidationInfo, field_validator

from penstock.arguments import Arguments, CallerId, CallerTenant, Text, Tokens, checked
from penstock.errors import InvalidInput
from penstock.money import nanousd_of
from penstock_schemas.prices import problem_with_price
from penstock_schemas.records import ListedPrice
from penstock_schemas.records.base import Name
from penstock_schemas.topics import MAX_REASON_CHARS


class UsageArguments(Arguments):
    """Arguments of `Client.record_usage`."""

    tenant: CallerTenant
    usage_id: CallerId
    model: CallerId
    input_tokens: Tokens
    output_tokens: Tokens
    cache_read_tokens: Tokens = 0
    cache_write_tokens: Tokens = 0
    reasoning_tokens: Tokens = 0
    tool_calls: Tokens = 0
    sandbox_cpu_ms: Tokens = 0
    sandbox_gb_ms: Tokens = 0
    user: CallerId | None = None
    agent: Name | None = None


class SettlementArguments(Arguments):
    """Arguments of `Client.settle_call`: what the provider says the call used."""

    input_tokens: Tokens
    output_tokens: Tokens
    cache_read_tokens: Tokens = 0
    cache_write_tokens: Tokens = 0


class CorrectionArguments(Arguments):
    """Arguments of `Client.correct_usage`: what the call truly used; None leaves a count as it is."""

    usage_id: CallerId
    tenant: CallerTenant | None = None
    reason: Annotated[Text, Field(max_length=MAX_REASON_CHARS)] = ""
    input_tokens: Tokens | None = None
    output_tokens: Tokens | None = None
    cache_read_tokens: Tokens | None = None
    cache_write_tokens: Tokens | None = None
    reasoning_tokens: Tokens | None = None
    tool_calls: Tokens | None = None
    sandbox_cpu_ms: Tokens | None = None
    sandbox_gb_ms: Tokens | None = None

    def counts(self) -> dict[str, int | None]:
        """The counts by their names in records."""
        return self.model_dump(exclude={"usage_id", "tenant", "reason"})


def _exact(amount: Any) -> int:
    try:
        return nanousd_of(amount)
    except InvalidInput as exc:
        raise ValueError(str(exc)) from exc


Usd = Annotated[int, BeforeValidator(_exact)]
"""Given in USD as decimal text, Decimal or whole number; kept in nano-USD."""


class PriceArguments(Arguments):
    """One price of `Client.set_prices`. Amounts in USD, exact to the nano-dollar."""

    model: CallerId
    input_per_mtok: Usd
    output_per_mtok: Usd
    cache_read: Usd | None = None
    """Per million tokens, as all tokens; without one, cached input costs what input costs."""
    cache_write: Usd | None = None
    per_tool_call: Usd = 0
    per_cpu_second: Usd = 0
    per_gb_second: Usd = 0
    effective: AwareDatetime
    """In force from here on, until a later one is."""

    def listed(self) -> ListedPrice:
        """As it travels."""
        since_epoch = self.effective - datetime(1970, 1, 1, tzinfo=UTC)
        return ListedPrice(
            model=self.model,
            effective_from=since_epoch // timedelta(microseconds=1),
            input_nanousd_per_mtok=self.input_per_mtok,
            cache_read_nanousd_per_mtok=self.input_per_mtok if self.cache_read is None else self.cache_read,
            cache_write_nanousd_per_mtok=self.input_per_mtok if self.cache_write is None else self.cache_write,
            output_nanousd_per_mtok=self.output_per_mtok,
            tool_call_nanousd=self.per_tool_call,
            cpu_second_nanousd=self.per_cpu_second,
            gb_second_nanousd=self.per_gb_second,
        )


ARGUMENT_OF = {
    "model": "model",
    "effective_from": "effective",
    "input_nanousd_per_mtok": "input_per_mtok",
    "cache_read_nanousd_per_mtok": "cache_read",
    "cache_write_nanousd_per_mtok": "cache_write",
    "output_nanousd_per_mtok": "output_per_mtok",
    "tool_call_nanousd": "per_tool_call",
    "cpu_second_nanousd": "per_cpu_second",
    "gb_second_nanousd": "per_gb_second",
}
"""The argument a field of a ListedPrice comes from."""


def checked_price(**values: Any) -> PriceArguments:
    """`values` as a price that accounts can list.

    Raises:
        InvalidInput: names the first argument that cannot be used; nothing was sent.
    """
    price = checked(PriceArguments, **values)
    if price.effective < datetime(1970, 1, 1, tzinfo=UTC):
        raise InvalidInput(f"effective {price.effective.isoformat()}: must not be before 1970")
    if problem := problem_with_price(price.listed()):
        name, why = problem
        raise InvalidInput(f"{ARGUMENT_OF[name]}: {why}")
    return price


class TenantArguments(Arguments):
    """Arguments of `Client.configure_tenant`."""

    tenant: CallerTenant
    tier: Name
    concurrency: Annotated[int, Field(ge=1, lt=1 << 31)] | None = None
    queue_limit: Annotated[int, Field(ge=0, lt=1 << 31)] | None = None
    suspended: bool = False
    monthly_tokens: Tokens | None = None
    monthly_usd: Usd | None = None
    hard_budget: bool = True


class UserArguments(Arguments):
    """Arguments of `Client.configure_user`."""

    tenant: CallerTenant
    user: CallerId
    monthly_tokens: Tokens | None = None
    monthly_usd: Usd | None = None
    hard_budget: bool = True


class BudgetArguments(Arguments):
    """Arguments of `Client.check_budget`."""

    tenant: CallerTenant
    tokens: Annotated[int, Field(ge=0, le=10**12)]
    user: CallerId | None = None
    model: CallerId | None = None


Month = Annotated[str, Field(pattern=r"^[0-9]{4}-(0[1-9]|1[0-2])$")]
"""YYYY-MM."""


class MonthArguments(Arguments):
    """An accounting month."""

    month: Month


class BillArguments(Arguments):
    """Arguments of `Client.bill`."""

    tenant: CallerTenant
    month: Month
    user: CallerId | None = None
    dearest: Annotated[int, Field(ge=1, lt=1 << 31)] | None = None


class SpendArguments(Arguments):
    """Arguments of `Client.spend`."""

    tenant: CallerTenant
    start: AwareDatetime
    end: AwareDatetime
    """Not included."""
    user: CallerId | None = None
    dearest: Annotated[int, Field(ge=1, lt=1 << 31)] | None = None

    @field_validator("end")
    @classmethod
    def _after_the_start(cls, end: datetime, info: ValidationInfo) -> datetime:
        if (start := info.data.get("start")) is not None and end <= start:
            raise ValueError(f"must be after the start, {start.isoformat()}")
        return end
