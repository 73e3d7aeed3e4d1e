"""The client's methods about tenants, budgets and prices."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal

from penstock.arguments import checked
from penstock.models import (
    BudgetCheck,
    Price,
    Tenant,
    UserBudget,
)
from penstock.money_arguments import BudgetArguments, PriceArguments, TenantArguments, UserArguments, checked_price
from penstock.prices import Prices
from penstock.reading import Reading
from penstock.tenants import Tenants


class AccountCalls:
    """Part of `Client`."""

    _tenants: Tenants
    _prices: Prices
    _reading: Reading

    async def tenants(self) -> Sequence[Tenant]:
        """Every configured tenant, as far as ClickHouse has loaded them."""
        return await self._reading.tenants()

    async def configure_tenant(
        self,
        tenant: str,
        *,
        tier: str,
        concurrency: int | None = None,
        queue_limit: int | None = None,
        suspended: bool = False,
        monthly_tokens: int | None = None,
        monthly_usd: str | Decimal | int | None = None,
        hard_budget: bool = True,
    ) -> Tenant:
        """Operator: create or change a tenant; returns its limits once accounts has put them in force.

        A limit left out is the tier's own; a budget left out is unlimited. A budget that is not hard refuses
        nothing and is reported as overspent.

        Raises:
            NotConfirmed: the command was sent, and accounts has not answered in time.
        """
        wanted = checked(
            TenantArguments,
            tenant=tenant,
            tier=tier,
            concurrency=concurrency,
            queue_limit=queue_limit,
            suspended=suspended,
            monthly_tokens=monthly_tokens,
            monthly_usd=monthly_usd,
            hard_budget=hard_budget,
        )
        return await self._tenants.configure(wanted)

    async def configure_user(
        self,
        tenant: str,
        user: str,
        *,
        monthly_tokens: int | None = None,
        monthly_usd: str | Decimal | int | None = None,
        hard_budget: bool = True,
    ) -> UserBudget:
        """Operator: set one user's budget, within their tenant's; one left out is unlimited.

        Raises:
            NotConfirmed: the command was sent, and accounts has not answered in time.
        """
        wanted = checked(
            UserArguments,
            tenant=tenant,
            user=user,
            monthly_tokens=monthly_tokens,
            monthly_usd=monthly_usd,
            hard_budget=hard_budget,
        )
        return await self._tenants.configure_user(wanted)

    async def check_budget(
        self, tenant: str, tokens: int, *, user: str | None = None, model: str | None = None
    ) -> BudgetCheck:
        """Whether a run that reserves `tokens` (of all kinds) would be admitted now. Reserves nothing.

        In dollars it counts as that many tokens of the model's dearest kind of output.

        Raises:
            NotConfirmed: accounts has not answered in time.
        """
        wanted = checked(BudgetArguments, tenant=tenant, tokens=tokens, user=user, model=model)
        return await self._tenants.check_budget(wanted)

    async def prices(self) -> Sequence[Price]:
        """Every price an operator listed, by model and effective date, as far as ClickHouse has loaded them."""
        return await self._reading.prices()

    async def set_price(
        self,
        model: str,
        *,
        input_per_mtok: str | Decimal | int,
        output_per_mtok: str | Decimal | int,
        cache_read: str | Decimal | int | None = None,
        cache_write: str | Decimal | int | None = None,
        per_tool_call: str | Decimal | int = 0,
        per_cpu_second: str | Decimal | int = 0,
        per_gb_second: str | Decimal | int = 0,
        effective: datetime | None = None,
    ) -> Price:
        """Operator: list one price; returns it once all of accounts charges at it.

        Amounts are USD, exact to the nano-dollar; floats are refused. Token prices are per million tokens.

        Args:
            model: a name as it is reported, or the canonical one, for every name of the model.
            cache_read: without one, input read from the cache costs what input costs; `cache_write` likewise.
            effective: in force from here on, until a later price is; default: now. Usage that was quarantined for
                want of a price is charged if it happened after that.

        Raises:
            InvalidInput, PriceRejected, CommandInterrupted, NotConfirmed: as `set_prices`.
        """
        (price,) = await self.set_prices(
            [
                checked_price(
                    model=model,
                    input_per_mtok=input_per_mtok,
                    output_per_mtok=output_per_mtok,
                    cache_read=cache_read,
                    cache_write=cache_write,
                    per_tool_call=per_tool_call,
                    per_cpu_second=per_cpu_second,
                    per_gb_second=per_gb_second,
                    effective=datetime.now(UTC) if effective is None else effective,
                )
            ]
        )
        return price

    async def set_prices(self, prices: Sequence[PriceArguments]) -> Sequence[Price]:
        """Operator: list up to 1,000 prices, all or none; returns them once all of accounts charges at them.

        The same prices again change nothing.

        Raises:
            InvalidInput: none or too many; nothing was sent.
            PriceRejected: accounts refused one, and with it all.
            CommandInterrupted: another operator's command came in between; nothing was written.
            NotConfirmed: the command was sent, and accounts has not answered in time.
        """
        return await self._prices.list(prices)
