"""`penstock tenants`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from penstock.cli.budget import MonthlyTokens, MonthlyUsd, Soft, limit_text
from penstock.cli.output import AsJson, complete, print_json, print_table
from penstock.errors import NotFound
from penstock.models import Tenant


def register(app: typer.Typer) -> None:
    """Add the group `tenants`."""
    group = typer.Typer(help="Who may run how much.", no_args_is_help=True)
    group.command("set")(set_tenant)
    group.command("show")(show)
    group.command("list")(list_tenants)
    app.add_typer(group, name="tenants")


def set_tenant(
    tenant: Annotated[str, typer.Argument(help="Name of the tenant.")],
    tier: Annotated[str, typer.Option(help="free, pro or enterprise.")],
    concurrency: Annotated[
        int | None, typer.Option(help="Executions admitted at once; default: the tier's.")
    ] = None,
    queue_limit: Annotated[int | None, typer.Option(help="Executions that may wait; default: the tier's.")] = None,
    suspended: Annotated[bool, typer.Option("--suspended", help="Reject every request.")] = False,
    monthly_tokens: MonthlyTokens = None,
    monthly_usd: MonthlyUsd = None,
    soft: Soft = False,
    as_json: AsJson = False,
) -> None:
    """Create or change a tenant, and wait until the change is in force. What is left out is set back."""

    async def go() -> Tenant:
        from penstock.client import Client

        async with Client() as client:
            return await client.configure_tenant(
                tenant,
                tier=tier,
                concurrency=concurrency,
                queue_limit=queue_limit,
                suspended=suspended,
                monthly_tokens=monthly_tokens,
                monthly_usd=monthly_usd,
                hard_budget=not soft,
            )

    _print([complete(go())], as_json=as_json, single=True)


def show(tenant: Annotated[str, typer.Argument(help="Name of the tenant.")], as_json: AsJson = False) -> None:
    """Show one tenant's limits in force."""
    found = [known for known in complete(_all()) if known.tenant_id == tenant]
    if not found:
        raise NotFound(
            f"tenant {tenant!r} is not configured; it has the default tier's limits where the operator allows it"
        )
    _print(found, as_json=as_json, single=True)


def list_tenants(as_json: AsJson = False) -> None:
    """List every configured tenant."""
    _print(complete(_all()), as_json=as_json, single=False)


async def _all() -> Sequence[Tenant]:
    from penstock.client import Client

    async with Client() as client:
        return await client.tenants()


def _print(tenants: Sequence[Tenant], *, as_json: bool, single: bool) -> None:
    if as_json:
        print_json(tenants[0] if single else tenants)
        return
    rows = [
        (
            t.tenant_id,
            t.tier,
            f"{t.concurrency:,}",
            f"{t.queue_limit:,}",
            limit_text(t.monthly_tokens, t.monthly_nanousd, hard=t.hard_budget),
            "suspended" if t.suspended else "active",
        )
        for t in tenants
    ]
    print_table(("tenant", "tier", ">at once", ">may wait", "a month", "state"), rows)
