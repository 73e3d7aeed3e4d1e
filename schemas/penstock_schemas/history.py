"""The released versions of the contract, and whether today's is compatible with every one of them.

`history/<version>/` holds a copy of `avro/` as it was released, and never changes again. A release adds the next
folder: `cp -r avro history/<version>`.
"""

from __future__ import annotations

import json
from importlib.resources import files
from importlib.resources.abc import Traversable

from penstock_schemas.avro_files import RECORD_TYPES, Schema, path_of, schema_of
from penstock_schemas.compatibility import Break, breaks_between

Release = dict[str, Schema]
"""Schemas by their path below `avro/`."""


def released() -> dict[str, Release]:
    """Every released version of the contract, by its version."""
    root = files("penstock_schemas").joinpath("history")
    return {folder.name: _schemas_in(folder) for folder in sorted(root.iterdir(), key=lambda f: f.name)}


def current() -> Release:
    """The contract as it is now."""
    return {path_of(name): schema_of(record_type) for name, record_type in RECORD_TYPES.items()}


def breaks_with(release: Release, now: Release) -> list[Break]:
    """Why data of `release` and of `now` cannot be read by each other's readers; empty where all can."""
    found: list[Break] = []
    for path, old in release.items():
        if path in now:
            found += breaks_between(old, now[path])
        else:
            found.append(Break(f"{old['namespace']}.{old['name']}", "the record was released and is gone"))
    return found


def _schemas_in(release: Traversable) -> Release:
    return {
        f"{stage.name}/{file.name}": json.loads(file.read_text(encoding="utf-8"))
        for stage in release.iterdir()
        if stage.is_dir()
        for file in stage.iterdir()
        if file.name.endswith(".avsc")
    }
