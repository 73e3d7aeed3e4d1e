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

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PositiveInt, ValidationError

from penstock.errors import PolicyRefused
from penstock_schemas.records.base import TENANT_ID_PATTERN

DEFAULT_TIER = "free"
"""What a tenant of an unknown tier gets."""
OPTIONS_TIER = "enterprise"
BUILT_IN = Path(__file__).with_name("tiers.toml")
NEVER_SHOWN = ("/proc", "/sys", "/dev", "/run", "/var/run", "/boot", "/tmp", "/workspace")
"""Host folders no sandbox is given, whatever a file says: they are the host itself, or the sandbox's own."""


def _shown(path: str) -> str:
    pure = PurePosixPath(path)
    if not pure.is_absolute() or ".." in pure.parts or str(pure) != path or path == "/" or "\0" in path:
        raise ValueError("must be an absolute path below /, written without . and ..")
    if any(pure.is_relative_to(never) for never in NEVER_SHOWN):
        raise ValueError(f"lies in one of {', '.join(NEVER_SHOWN)}, which no sandbox may see")
    return path


ShownPath = Annotated[str, AfterValidator(_shown)]
TimeoutS = Annotated[float, Field(gt=0, le=86_400)]
Command = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]{0,63}$")]


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


@dataclass(frozen=True, slots=True)
class RuntimeList:
    """Where the runtime root comes from."""

    commands: tuple[str, ...]
    libraries: tuple[str, ...]
    """Globs of host paths."""


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=False)


class _Tier(_File):
    timeout_s: TimeoutS | None = None
    memory_bytes: Annotated[int, Field(ge=16 * 1024 * 1024)] | None = None
    processes: PositiveInt | None = None
    quota_bytes: Annotated[int, Field(ge=4 * 1024 * 1024)] | None = None
    readable: tuple[ShownPath, ...] | None = None
    writable: tuple[ShownPath, ...] | None = None
    left_out: tuple[Command, ...] | None = None
    network: bool | None = None


class _Runtime(_File):
    commands: tuple[Command, ...]
    libraries: tuple[ShownPath, ...]


class _Options(_File):
    """One tenant's, of the tier `enterprise`."""

    timeout_s: TimeoutS | None = None
    allow_network: bool = False
    extra_read_paths: tuple[ShownPath, ...] = ()
    extra_write_paths: tuple[ShownPath, ...] = ()


TenantName = Annotated[str, Field(pattern=TENANT_ID_PATTERN)]


class _Policies(_File):
    allow_looser: bool = False
    runtime: _Runtime | None = None
    tiers: dict[Command, _Tier] = Field(default_factory=dict)
    tenants: dict[TenantName, _Options] = Field(default_factory=dict)


class Policies(Mapping[str, Policy]):
    """The policies by tier; a tier that is not there is `free`'s."""

    def __init__(
        self, by_tier: Mapping[str, Policy], options: Mapping[str, _Options], runtime: RuntimeList
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
            readable=(*policy.readable, *options.extra_read_paths),
            writable=(*policy.writable, *options.extra_write_paths),
        )


def load_policies(path: Path | None = None) -> Policies:
    """The built-in policies, changed by the operator's file at `path`.

    Raises:
        PolicyRefused: the file cannot be read, breaks the shape, or is looser than built in without saying so.
    """
    built_in = _read(BUILT_IN)
    assert built_in.runtime is not None
    tiers = {name: _policy(name, tier) for name, tier in built_in.tiers.items()}
    runtime = RuntimeList(built_in.runtime.commands, built_in.runtime.libraries)
    if path is None:
        return Policies(tiers, {}, runtime)
    changed = _read(path)
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


def _read(path: Path) -> _Policies:
    try:
        return _Policies.model_validate(tomllib.loads(path.read_text()))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as exc:
        raise PolicyRefused(f"the sandbox policies at {path} cannot be read: {exc}") from exc
    except ValidationError as exc:
        problem = exc.errors(include_url=False)[0]
        where = ".".join(str(part) for part in problem["loc"])
        shown = repr(problem["input"])[:80]
        raise PolicyRefused(f"{path}: {where}: {problem['msg']} (was {shown})") from exc


def _policy(name: str, tier: _Tier, base: Policy | None = None) -> Policy:
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
