"""`penstock store`: what is old goes, what was put since stays, also where it is the same bytes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from penstock.artifacts import ArtifactStore, months_before, this_month
from penstock.cli import app as cli
from penstock.errors import ArtifactStoreUnreachable, InvalidInput, NotFound, PenstockError
from penstock_schemas.records import PayloadRef

SCOPE = "0a1b2c3d-0000-8000-8000-00000000000a"
Penstock = Callable[..., Result]


@pytest.fixture
def url(tmp_path: Path) -> str:
    return str(tmp_path / "blobs")


@pytest.fixture
def penstock(url: str, monkeypatch: pytest.MonkeyPatch) -> Penstock:
    monkeypatch.setenv("PENSTOCK_ARTIFACTS_URL", url)

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(cli.build([*arguments]), ["store", *arguments])

    return run


def put(url: str, scopes: dict[str, bytes]) -> dict[str, PayloadRef]:
    async def go() -> dict[str, PayloadRef]:
        store = ArtifactStore(url)
        return {scope: await store.put(data, scope) for scope, data in scopes.items()}

    return asyncio.run(go())


def is_there(url: str, ref: PayloadRef) -> bool:
    try:
        return bool(asyncio.run(ArtifactStore(url).get(ref)))
    except NotFound:
        return False


def test_old_months_go_and_neither_what_is_the_same_since_nor_what_a_conversation_has(
    url: str, penstock: Penstock
) -> None:
    last, before = months_before(1), months_before(2)
    refs = put(url, {"2019-12": b"same", before: b"same", last: b"same", this_month(): b"same", SCOPE: b"same"})
    put(url, {"2019-12": b"another"})

    listed = json.loads(penstock("months", "--json").stdout)
    assert [(m["month"], m["blobs"], m["size_bytes"]) for m in listed] == [
        ("2019-12", 2, 11),
        (before, 1, 4),
        (last, 1, 4),
        (this_month(), 1, 4),
    ]
    dry = penstock("prune", "--keep-months", "1", "--dry-run")
    assert (dry.exit_code, dry.stderr) == (0, f"would be removed: 2 months before {last}\n")
    assert all(is_there(url, ref) for ref in refs.values())

    done = penstock("prune", "--keep-months", "1")
    assert done.stdout.splitlines()[1:] == ["2019-12      2     11", f"{before}      1      4"]
    assert [scope for scope, ref in refs.items() if is_there(url, ref)] == [last, this_month(), SCOPE]
    assert penstock("prune", "--keep-months", "1").stderr == f"removed: 0 months before {last}\n"


def test_a_store_nothing_was_put_into_has_no_months(penstock: Penstock) -> None:
    assert json.loads(penstock("months", "--json").stdout) == []
    assert penstock("prune", "--keep-months", "12").exit_code == 0


@pytest.mark.parametrize("wrong", ["0", "-1", "1201", "many"])
def test_a_number_of_months_that_would_take_what_is_in_use_is_refused(
    url: str, penstock: Penstock, wrong: str
) -> None:
    (ref,) = put(url, {"2019-12": b"old"}).values()
    refused = penstock("prune", "--keep-months", wrong)
    assert refused.exit_code == 2
    assert "--keep-months" in refused.stderr
    assert penstock("prune").exit_code == 2
    assert is_there(url, ref)


@pytest.mark.parametrize(
    ("at", "error"), [("", InvalidInput), ("in the way", ArtifactStoreUnreachable)], ids=["none set", "no folder"]
)
def test_a_store_that_cannot_be_asked_is_named(
    tmp_path: Path, penstock: Penstock, monkeypatch: pytest.MonkeyPatch, at: str, error: type[PenstockError]
) -> None:
    if at:
        (tmp_path / at).write_text("a file")
    monkeypatch.setenv("PENSTOCK_ARTIFACTS_URL", str(tmp_path / at / "blobs") if at else "")
    asked = penstock("months")
    assert isinstance(asked.exception, error)
    assert "PENSTOCK_ARTIFACTS_URL" in str(asked.exception)


def test_months_are_counted_across_years(monkeypatch: pytest.MonkeyPatch) -> None:
    from datetime import datetime

    from penstock import artifacts

    class January(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
            return datetime(2026, 1, 31)

    monkeypatch.setattr(artifacts, "datetime", January)
    assert [months_before(count) for count in (0, 1, 12, 13)] == ["2026-01", "2025-12", "2025-01", "2024-12"]
