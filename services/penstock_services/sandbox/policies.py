"""What each tier may do in the sandbox: the built-in table, and an operator's file over it.

The built-in table is `tiers.toml` beside this module. An operator's file has the same shape, names only what it
changes, and may give single tenants of the tier `enterprise` options of their own:

    allow_looser = true
    [tiers.pro]
    timeout_s = 180
    [tenants.acme]
    timeout_s = 900
    extra_read_paths = ["/srv/models"]
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from penstock.errors import PolicyRefused
from penstock_services.sandbox.policy_file import TenantOptions, TierPart, read_policy_file

DEFAULT_TIER = "free"
"""What a tenant of an unknown tier gets."""
OPTIONS_TIER = "enterprise"
BUILT_IN = Path(__file__).with_name("tiers.toml")


@dataclass(frozen=True, slots=True)
class Policy:
    """What one sandbox may do."""

    tier: str
    timeout_s: float
    memory_bytes: int
    processes: int
    """Processes and threads at once, the command itself included."""
    quota_bytes: int
    """Of disk, over everything the tenant has on one host."""
    readable: tuple[str, ...]
    """Host paths shown read-only besides the runtime; `/etc` and `/etc/passwd` are copies without secrets."""
    writable: tuple[str, ...]
    """Host paths besides the workspace."""
    left_out: frozenset[str]
    """Commands that are not in the runtime."""
    network: bool
    """To the outside, under the rules of `firewall`."""
    network_hosts: tuple[str, ...] = ()
    """Names, addresses and networks; where there are any, nothing else is reached."""
    network_resolvers: tuple[str, ...] = ()
    """Addresses of name servers; by default the host's public ones, and none where `network_hosts` are given."""


@dataclass(frozen=True, slots=True)
class RuntimeList:
    """Where the runtime root comes from."""

    commands: tuple[str, ...]
    libraries: tuple[str, ...]
    """Globs of host paths."""


class Policies(Mapping[str, Policy]):
    """The policies by tier; a tier that is not there is `free`'s."""

    def __init__(
        self, by_tier: Mapping[str, Policy], options: Mapping[str, TenantOptions], runtime: RuntimeList
    ) -> None:
        self._by_tier = dict(by_tier)
        self._options = dict(options)
        self.runtime = runtime

    def __getitem__(self, tier: str) -> Policy:
        return self._by_tier[tier]

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_tier)

    def __len__(self) -> int:
        return len(self._by_tier)

    def of(self, tier: str, tenant_id: str | None = None) -> Policy:
        """The policy for a run: the tier's, with the tenant's options where the tier has any."""
        policy = self._by_tier.get(tier, self._by_tier[DEFAULT_TIER])
        options = self._options.get(tenant_id) if tenant_id and policy.tier == OPTIONS_TIER else None
        if options is None:
            return policy
        return replace(
            policy,
            timeout_s=options.timeout_s or policy.timeout_s,
            network=policy.network or options.allow_network,
            network_hosts=options.network_hosts or policy.network_hosts,
            network_resolvers=options.network_resolvers or policy.network_resolvers,
            readable=(*policy.readable, *options.extra_read_paths),
            writable=(*policy.writable, *options.extra_write_paths),
        )

    def networked(self, tier: str) -> Policy | None:
        """A policy of the tier with a network; None where the operator allows that to nobody."""
        tenants = (self.of(tier, tenant_id) for tenant_id in (None, *self._options))
        return next((policy for policy in tenants if policy.network), None)


def load_policies(path: Path | None = None) -> Policies:
    """The built-in policies, changed by the operator's file at `path`.

    Raises:
        PolicyRefused: the file cannot be read, breaks the shape, or is looser than built in without saying so.
    """
    built_in = read_policy_file(BUILT_IN)
    assert built_in.runtime is not None
    tiers = {name: _policy(name, tier) for name, tier in built_in.tiers.items()}
    runtime = RuntimeList(built_in.runtime.commands, built_in.runtime.libraries)
    if path is None:
        return Policies(tiers, {}, runtime)
    changed = read_policy_file(path)
    for name, tier in changed.tiers.items():
        base = tiers.get(name, replace(tiers[DEFAULT_TIER], tier=name))
        policy = _policy(name, tier, base)
        looser = _looser(base, policy)
        if looser and not changed.allow_looser:
            raise PolicyRefused(
                f"{path}: tier {name} is looser than built in: {', '.join(looser)}; "
                "write `allow_looser = true` at its top if that is meant"
            )
        tiers[name] = policy
    if changed.runtime is not None:
        added = set(changed.runtime.commands) - set(runtime.commands)
        added |= set(changed.runtime.libraries) - set(runtime.libraries)
        if added and not changed.allow_looser:
            raise PolicyRefused(
                f"{path}: the runtime is looser than built in: it adds {', '.join(sorted(added))}; "
                "write `allow_looser = true` at its top if that is meant"
            )
        runtime = RuntimeList(changed.runtime.commands, changed.runtime.libraries)
    return Policies(tiers, changed.tenants, runtime)


def _policy(name: str, tier: TierPart, base: Policy | None = None) -> Policy:
    given: dict[str, Any] = {key: value for key, value in tier.model_dump().items() if value is not None}
    if "left_out" in given:
        given["left_out"] = frozenset(given["left_out"])
    if base is not None:
        return replace(base, **given)
    return Policy(tier=name, **given)


def _looser(built_in: Policy, changed: Policy) -> list[str]:
    """What `changed` allows and `built_in` does not, as text."""
    found = [
        f"{name} {getattr(changed, name):g} above {getattr(built_in, name):g}"
        for name in ("timeout_s", "memory_bytes", "processes", "quota_bytes")
        if getattr(changed, name) > getattr(built_in, name)
    ]
    for name in ("readable", "writable"):
        more = [path for path in getattr(changed, name) if not _within(path, getattr(built_in, name))]
        found += [f"{name} {path}" for path in more]
    found += [f"command {command}" for command in sorted(built_in.left_out - changed.left_out)]
    return found + (["network"] if changed.network and not built_in.network else [])


def _within(path: str, allowed: tuple[str, ...]) -> bool:
    return any(PurePosixPath(path).is_relative_to(parent) for parent in allowed)
