"""What has to change on a cluster so that its rules are the derived ones. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from penstock_services.access.rules import Rule


@dataclass(frozen=True, slots=True)
class Plan:
    """Rules to add, and rules that nothing derives any more."""

    missing: tuple[Rule, ...]
    stale: tuple[Rule, ...]
    """Removed only when asked for."""
    unchanged: int


def plan(wanted: Iterable[Rule], found: Iterable[Rule]) -> Plan:
    """Compare.

    Stale is what one of our principals may do beyond `wanted`, and what anybody may do on a resource that `wanted`
    names: a stranger's leftover right to a topic of ours is a hole. Rules of others about other resources are
    theirs. The cluster itself is nobody's own, so there only our principals count.

    Args:
        found: permissions the cluster has; no denials, which nobody here derives or removes.
    """
    want, have = set(wanted), set(found)
    principals = {rule.principal for rule in want}
    resources = {(rule.resource, rule.name) for rule in want if rule.resource != "cluster"}
    beyond = have - want
    return Plan(
        missing=tuple(sorted(want - have)),
        stale=tuple(sorted(r for r in beyond if r.principal in principals or (r.resource, r.name) in resources)),
        unchanged=len(want & have),
    )
