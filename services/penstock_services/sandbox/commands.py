"""`penstock verify isolation`."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the group `verify` to the command line."""
    group = typer.Typer(help="Whether this host keeps Penstock's promises.", no_args_is_help=True)
    group.command("isolation")(isolation)
    app.add_typer(group, name="verify")


def isolation(
    tier: Annotated[list[str] | None, typer.Option("--tier", help="A tier; repeatable. Default: all.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Try every limit of the sandbox on this host; exit 1 where one does not hold."""
    from penstock.cli.output import print_json, print_table
    from penstock.errors import InvalidInput, SandboxError
    from penstock_services.sandbox.canaries import Finding, try_tier
    from penstock_services.sandbox.policies import load_policies
    from penstock_services.sandbox.settings import SandboxSettings

    settings = SandboxSettings()
    policies = load_policies(settings.policies)
    unknown = [name for name in tier or () if name not in policies]
    if unknown:
        raise InvalidInput(f"there is no tier {unknown[0]!r}; known: {', '.join(policies)}")

    async def find() -> list[Finding]:
        found: list[Finding] = []
        for name in tier or policies:
            try:
                found += await try_tier(settings, policies, name)
            except SandboxError as exc:
                found.append(Finding(name, "everything", "", "to set up a sandbox", False, str(exc)))
        return found

    findings = asyncio.run(find())
    if as_json:
        print_json([asdict(finding) for finding in findings])
    else:
        rows = [
            (f.tier, f.limit, f.enforced_by, f.tried, "held" if f.held else f"NOT HELD: {f.seen}")
            for f in findings
        ]
        print_table(("tier", "limit", "enforced by", "tried", ""), rows)
    if not all(finding.held for finding in findings):
        raise typer.Exit(1)
