"""`penstock budget`: what a tenant or user may still spend this month."""

from __future__ import annotations

from typing import Annotated

import typer

from penstock.cli.output import ERRORS, AsJson, complete, print_json, print_table
from penstock.models import BudgetCheck, UserBudget
from penstock.money import usd_text

MonthlyTokens = Annotated[
    int | None, typer.Option(help="Tokens of all kinds that a month may use; default: unlimited.")
]
MonthlyUsd = Annotated[
    str | None, typer.Option(help="USD that a month may cost, such as 49.90; default: unlimited.")
]
Soft = Annotated[bool, typer.Option("--soft", help="Only report what exceeds the budget, and refuse nothing.")]


def register(app: typer.Typer) -> None:
    """Add the group `budget`."""
    group = typer.Typer(help="What may still be spent this month.", no_args_is_help=True)
    group.command("check")(check)
    group.command("set-user")(set_user)
    app.add_typer(group, name="budget")


def check(
    tenant: Annotated[str, typer.Argument(help="Name of the tenant.")],
    tokens: Annotated[int, typer.Option(help="Tokens of all kinds that the run would reserve.")],
    user: Annotated[str | None, typer.Option(help="The tenant's user.")] = None,
    model: Annotated[str | None, typer.Option(help="The model; a budget in dollars needs one.")] = None,
    as_json: AsJson = False,
) -> None:
    """Tell whether a run of this size would be admitted now, and what is left; exit code 1 if not."""

    async def go() -> BudgetCheck:
        from penstock.client import Client

        async with Client() as client:
            return await client.check_budget(tenant, tokens, user=user, model=model)

    answer = complete(go())
    if as_json:
        print_json(answer)
    else:
        until = f"{answer.resets_at:%Y-%m-%d %H:%M} UTC"
        left_tokens = "unlimited" if answer.tokens_left is None else f"{answer.tokens_left:,}"
        left_usd = "unlimited" if answer.nanousd_left is None else f"{usd_text(answer.nanousd_left)} USD"
        print_table(
            ("would run", ">tokens left", ">money left", "until"),
            [
                (
                    "yes" if answer.admitted else "no",
                    left_tokens,
                    left_usd,
                    until,
                )
            ],
        )
    if not answer.admitted:
        ERRORS.print(f"{answer.reason}: {answer.detail}", markup=False, highlight=False, soft_wrap=True)
        raise typer.Exit(1)


def set_user(
    tenant: Annotated[str, typer.Argument(help="Name of the tenant.")],
    user: Annotated[str, typer.Argument(help="The tenant's user.")],
    monthly_tokens: MonthlyTokens = None,
    monthly_usd: MonthlyUsd = None,
    soft: Soft = False,
    as_json: AsJson = False,
) -> None:
    """Give one user a budget within their tenant's, and wait until it is in force."""

    async def go() -> UserBudget:
        from penstock.client import Client

        async with Client() as client:
            return await client.configure_user(
                tenant, user, monthly_tokens=monthly_tokens, monthly_usd=monthly_usd, hard_budget=not soft
            )

    budget = complete(go())
    if as_json:
        print_json(budget)
        return
    limit = limit_text(budget.monthly_tokens, budget.monthly_nanousd, hard=budget.hard_budget)
    print_table(("tenant", "user", "a month"), [(budget.tenant_id, budget.user_id, limit)])


def limit_text(tokens: int | None, nanousd: int | None, *, hard: bool) -> str:
    """A budget for people: `1,000 tokens, 5.000000 USD (soft)`."""
    limits = [f"{tokens:,} tokens"] if tokens is not None else []
    limits += [f"{usd_text(nanousd)} USD"] if nanousd is not None else []
    return ", ".join(limits) + ("" if hard else " (soft)") if limits else "unlimited"
