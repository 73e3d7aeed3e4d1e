"""`penstock acl`."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Column, Table

from penstock.errors import InvalidInput
from penstock.settings import KafkaSettings
from penstock_services.access.plan import plan
from penstock_services.access.rules import ROLES, Rule, derive
from penstock_services.access.settings import AclSettings, names
from penstock_services.access.show import as_json as rule_as_json
from penstock_services.access.show import grouped, shell_lines
from penstock_services.topic_commands import TopicSettings

Roles = Annotated[
    list[str] | None, typer.Option("--role", help=f"Only this role; may be repeated. Of {', '.join(ROLES)}.")
]


def register(app: typer.Typer) -> None:
    """Add the group `acl` to the command line."""
    group = typer.Typer(
        help="Who may do what on Kafka, derived from the topic declarations.", no_args_is_help=True
    )
    group.command("print")(print_command)
    group.command("apply")(apply_command)
    app.add_typer(group, name="acl")


def print_command(
    role: Roles = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, one object per rule.")] = False,
    as_shell: Annotated[bool, typer.Option("--shell", help="Print lines for kafka-acls.sh.")] = False,
) -> None:
    """Print every rule; asks no server.

    Users are set by PENSTOCK_ACL_UPSTREAM, _FOLLOWER, _STREAMS, _WORKER, _LOADER and _OPERATOR: `User:NAME`,
    several separated by `;`.
    """
    rules = derived(role)
    if as_json:
        print(json.dumps([rule_as_json(rule) for rule in rules]))
    elif as_shell:
        print("\n".join(shell_lines(rules)))
    else:
        table = Table(*(Column(title, no_wrap=True) for title in ("user", "may", "on", "named")))
        for rule, operations in grouped(rules):
            name = rule.name + ("*" if rule.pattern == "prefixed" else "")
            table.add_row(rule.principal, ", ".join(operations), rule.resource, name)
        Console().print(table)


def apply_command(
    role: Roles = None,
    prune: Annotated[
        bool, typer.Option("--prune", help="Remove rules about our users and resources that nothing derives.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would change.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Add the rules a cluster lacks, as the user of PENSTOCK_KAFKA_*, who must be allowed to.

    May be repeated, also after it failed half-way. Rules that deny something are never touched.
    """
    if prune and role:
        raise InvalidInput("--prune compares all rules, and cannot be limited by --role")
    from penstock_services.access.cluster import ClusterRules  # `print` works without librdkafka

    cluster = ClusterRules(KafkaSettings())
    change = plan(derived(role), cluster.read())
    stale = () if role else change.stale
    if not dry_run:
        cluster.add(change.missing)  # first, so that a rename leaves no gap
        if prune:
            cluster.remove(stale)
    if as_json:
        done = {"applied": not dry_run, "pruned": prune and not dry_run}
        print(json.dumps({"missing": _plain(change.missing), "stale": _plain(stale)} | done))
        return
    would = "would " if dry_run else ""
    for rule in change.missing:
        print(f"{would}add: {_sentence(rule)}")
    for rule in stale:
        print(f"{would}remove: {_sentence(rule)}" if prune else f"not derived: {_sentence(rule)}")
    kept = f", {len(stale)} that nothing derives are left (--prune removes them)" if stale and not prune else ""
    print(f"{change.unchanged} rules were there, {len(change.missing)} were missing{kept}")


def derived(roles: list[str] | None = None) -> list[Rule]:
    """The rules of this process's settings, for all roles or some.

    Raises:
        InvalidInput: no such role, or a setting that is no Kafka user.
    """
    for role in roles or ():
        if role not in ROLES:
            raise InvalidInput(f"--role {role!r}: there is no such role; the roles are {', '.join(ROLES)}")
    principals = AclSettings().by_role()
    asked = {role: users for role, users in principals.items() if roles is None or role in roles}
    return derive(TopicSettings().topics(), asked, names())


def _plain(rules: Iterable[Rule]) -> list[dict[str, str]]:
    return [rule_as_json(rule) for rule in rules]


def _sentence(rule: Rule) -> str:
    star = "*" if rule.pattern == "prefixed" else ""
    return f"{rule.principal} may {rule.operation} {rule.resource} {rule.name}{star}"
