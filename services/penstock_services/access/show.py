"""Rules as text: a table's cells, JSON, lines for `kafka-acls.sh`. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from dataclasses import asdict
from itertools import groupby

from penstock_services.access.rules import Operation, Rule


def as_json(rule: Rule) -> dict[str, str]:
    """One rule with its host and permission, which are the same for all."""
    return {**asdict(rule), "host": "*", "permission": "Allow"}


def grouped(rules: Iterable[Rule]) -> list[tuple[Rule, tuple[Operation, ...]]]:
    """The first rule of each principal and resource, with the operations of all of them."""
    ordered = sorted(rules)
    groups = groupby(ordered, key=lambda rule: (rule.principal, rule.resource, rule.name, rule.pattern))
    return [
        (members[0], tuple(rule.operation for rule in members)) for members in (list(group) for _, group in groups)
    ]


def shell_lines(rules: Iterable[Rule]) -> list[str]:
    """One command per principal and resource; the shell's `BOOTSTRAP` and `ADMIN_CONFIG` say where and as whom."""
    start = 'kafka-acls.sh --bootstrap-server "$BOOTSTRAP" --command-config "$ADMIN_CONFIG" --add'
    return [
        " ".join(
            [
                start,
                f"--allow-principal {shlex.quote(rule.principal)}",
                *(f"--operation {operation}" for operation in operations),
                "--cluster" if rule.resource == "cluster" else f"--{rule.resource} {shlex.quote(rule.name)}",
                f"--resource-pattern-type {rule.pattern}",
            ]
        )
        for rule, operations in grouped(rules)
    ]
