"""The shape of a file of policies, as the operator writes it."""

from __future__ import annotations

import re
import tomllib
from ipaddress import ip_address, ip_network
from pathlib import Path, PurePosixPath
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PositiveInt, ValidationError

from penstock.errors import PolicyRefused
from penstock_schemas.records.base import TENANT_ID_PATTERN

NEVER_SHOWN = ("/proc", "/sys", "/dev", "/run", "/var/run", "/boot", "/tmp", "/workspace")
"""Host folders no sandbox is given, whatever a file says: they are the host itself, or the sandbox's own."""


def _shown(path: str) -> str:
    pure = PurePosixPath(path)
    if not pure.is_absolute() or ".." in pure.parts or str(pure) != path or path == "/" or "\0" in path:
        raise ValueError("must be an absolute path below /, written without . and ..")
    if any(pure.is_relative_to(never) for never in NEVER_SHOWN):
        raise ValueError(f"lies in one of {', '.join(NEVER_SHOWN)}, which no sandbox may see")
    return path


def _host(text: str) -> str:
    if "/" in text or ":" in text or text.replace(".", "").isdigit():
        ip_network(text)  # its error says what is wrong
    elif not _HOST_NAME.fullmatch(text):
        raise ValueError("must be a host's name, an address, or a network such as 203.0.113.0/24, without a port")
    return text


def _resolver(text: str) -> str:
    address = ip_address(text)
    if address.is_loopback or address.is_unspecified or address.is_multicast or address.is_link_local:
        raise ValueError("must be the address of a name server that is not the host itself or on its own link")
    return text


_HOST_NAME = re.compile(r"(?=.{1,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
Host = Annotated[str, AfterValidator(_host)]
Resolver = Annotated[str, AfterValidator(_resolver)]
ShownPath = Annotated[str, AfterValidator(_shown)]
TimeoutS = Annotated[float, Field(gt=0, le=86_400)]
Command = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]{0,63}$")]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=False)


class TierPart(_Part):
    """What a file says of one tier; None leaves it as it is."""

    timeout_s: TimeoutS | None = None
    memory_bytes: Annotated[int, Field(ge=16 * 1024 * 1024)] | None = None
    processes: PositiveInt | None = None
    quota_bytes: Annotated[int, Field(ge=4 * 1024 * 1024)] | None = None
    readable: tuple[ShownPath, ...] | None = None
    writable: tuple[ShownPath, ...] | None = None
    left_out: tuple[Command, ...] | None = None
    network: bool | None = None
    network_hosts: tuple[Host, ...] | None = None
    network_resolvers: tuple[Resolver, ...] | None = None


class RuntimePart(_Part):
    """What goes into the runtime root."""

    commands: tuple[Command, ...]
    libraries: tuple[ShownPath, ...]


class TenantOptions(_Part):
    """One tenant's, of the tier `enterprise`."""

    timeout_s: TimeoutS | None = None
    allow_network: bool = False
    network_hosts: tuple[Host, ...] = ()
    network_resolvers: tuple[Resolver, ...] = ()
    extra_read_paths: tuple[ShownPath, ...] = ()
    extra_write_paths: tuple[ShownPath, ...] = ()


TenantName = Annotated[str, Field(pattern=TENANT_ID_PATTERN)]


class PolicyFile(_Part):
    """A whole file."""

    allow_looser: bool = False
    runtime: RuntimePart | None = None
    tiers: dict[Command, TierPart] = Field(default_factory=dict)
    tenants: dict[TenantName, TenantOptions] = Field(default_factory=dict)


def read_policy_file(path: Path) -> PolicyFile:
    """The file at `path`.

    Raises:
        PolicyRefused: it cannot be read, or breaks the shape; the message names the key and the value.
    """
    try:
        return PolicyFile.model_validate(tomllib.loads(path.read_text()))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as exc:
        raise PolicyRefused(f"the sandbox policies at {path} cannot be read: {exc}") from exc
    except ValidationError as exc:
        problem = exc.errors(include_url=False)[0]
        where = ".".join(str(part) for part in problem["loc"])
        shown = repr(problem["input"])[:80]
        raise PolicyRefused(f"{path}: {where}: {problem['msg']} (was {shown})") from exc
