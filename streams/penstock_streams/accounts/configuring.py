"""What the operator sets: tenants' limits, and budgets of tenants and users. Pure."""

from __future__ import annotations

from msgspec.structs import replace

from penstock_schemas import records as r
from penstock_schemas import topics
from penstock_streams.accounts import model as m
from penstock_streams.accounts.books import Books
from penstock_streams.accounts.budget import Limits
from penstock_streams.accounts.policy import Policy, limits_of
from penstock_streams.accounts.queue import release
from penstock_streams.kit import Decision, Output, Rows


def tenant_of(rows: Rows, policy: Policy, tenant_id: str) -> m.Tenant | None:
    """The tenant's row; the default tier's limits for one nobody configured, where that is allowed."""
    tenant = rows.get(m.tenant_key(tenant_id), m.Tenant)
    if tenant is None and policy.default_tier is not None:
        limits = limits_of(policy.default_tier)
        return m.Tenant(policy.default_tier, limits.concurrency, limits.queue_limit, suspended=False)
    return tenant


def configure_tenant(rows: Rows, policy: Policy, command: r.ConfigureTenant, now: int) -> Decision:
    """Set a tenant's limits and budget; what is used of them stays."""
    limits = limits_of(command.tier)
    fresh = m.Tenant(command.tier, limits.concurrency, limits.queue_limit, command.suspended)
    tenant = replace(
        tenant_of(rows, policy, command.tenant_id) or fresh,
        tier=command.tier,
        concurrency=limits.concurrency if command.concurrency is None else max(0, command.concurrency),
        queue_limit=limits.queue_limit if command.queue_limit is None else max(0, command.queue_limit),
        suspended=command.suspended,
    )
    budget = _limits(command)
    configured = r.TenantConfigured(
        tenant_id=command.tenant_id,
        tier=tenant.tier,
        concurrency=tenant.concurrency,
        queue_limit=tenant.queue_limit,
        suspended=tenant.suspended,
        monthly_tokens=budget.tokens,
        monthly_nanousd=budget.nanousd,
        hard_budget=budget.hard,
    )
    decision, books = (
        Decision(outputs=[Output(topics.ACCOUNTS_EVENTS, configured)]),
        Books(rows, command.tenant_id),
    )
    books.configure(m.budget_key(command.tenant_id), budget)
    books.into(decision)
    release(rows, command.tenant_id, tenant, now, decision)
    return decision


def configure_user(rows: Rows, command: r.ConfigureUser) -> Decision:
    """Set one user's budget. What their open runs reserved before counts in the tenant's alone."""
    budget = _limits(command)
    configured = r.UserConfigured(
        tenant_id=command.tenant_id,
        user_id=command.user_id,
        monthly_tokens=budget.tokens,
        monthly_nanousd=budget.nanousd,
        hard_budget=budget.hard,
    )
    decision, books = (
        Decision(outputs=[Output(topics.ACCOUNTS_EVENTS, configured)]),
        Books(rows, command.tenant_id),
    )
    books.configure(m.budget_key(command.tenant_id, command.user_id), budget)
    books.into(decision)
    return decision


def _limits(command: r.ConfigureTenant | r.ConfigureUser) -> Limits:
    tokens, nanousd = command.monthly_tokens, command.monthly_nanousd
    return Limits(
        None if tokens is None else max(0, tokens),
        None if nanousd is None else max(0, nanousd),
        command.hard_budget,
    )
