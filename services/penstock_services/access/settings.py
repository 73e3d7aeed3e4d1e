"""Which Kafka users act in which role: `PENSTOCK_ACL_*`."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator
from pydantic_settings import NoDecode, SettingsConfigDict

from penstock.settings import Settings
from penstock_services.access.rules import APP_ID, LOADER_GROUP, ROLES, Names, Role


def _split(value: object) -> object:
    # Not commas: the name of a client certificate is `CN=…,O=…`.
    return tuple(part.strip() for part in value.split(";") if part.strip()) if isinstance(value, str) else value


def _checked(principals: tuple[str, ...]) -> tuple[str, ...]:
    for principal in principals:
        if not re.fullmatch(r"User:[^*\s]([^\r\n]*\S)?", principal):
            raise ValueError(f"{principal!r} is no single Kafka user: write User:NAME, several separated by ';'")
    return principals


Principals = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split), AfterValidator(_checked)]


class AclSettings(Settings):
    """Kafka principals by role, several separated by `;`; empty for a role nobody has."""

    model_config = SettingsConfigDict(env_prefix="PENSTOCK_ACL_")

    upstream: Principals = ("User:penstock-upstream",)
    """Services that ask for runs, and follow them."""
    follower: Principals = ("User:penstock-follower",)
    """Those that only follow."""
    streams: Principals = ("User:penstock-streams",)
    worker: Principals = ("User:penstock-worker",)
    loader: Principals = ("User:penstock-loader",)
    operator: Principals = ("User:penstock-operator",)

    def by_role(self) -> dict[Role, tuple[str, ...]]:
        return {role: getattr(self, role) for role in ROLES}


class _StreamsName(Settings):
    model_config = SettingsConfigDict(env_prefix="PENSTOCK_STREAMS_")
    app_id: str = APP_ID


class _LoaderName(Settings):
    model_config = SettingsConfigDict(env_prefix="PENSTOCK_LOADER_")
    group_id: str = LOADER_GROUP


def names() -> Names:
    """The names as the processes of these settings use them."""
    return Names(app_id=_StreamsName().app_id, loader_group=_LoaderName().group_id)
