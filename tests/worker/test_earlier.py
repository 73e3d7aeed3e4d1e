"""What earlier stages answered, inline or by reference, and what a worker says to a document that is none."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from penstock.artifacts import ArtifactStore
from penstock.carried import carry_text
from penstock.errors import InvalidInput, NotFound, PayloadTooLarge
from penstock_consumers.worker.earlier import earlier_outputs
from penstock_schemas import records as r

LONG = "Ausführlich: " * 100_000
OF_STAGES = TypeAdapter(list[r.PreviousOutput])


def dispatched(**more: object) -> r.ExecutionDispatched:
    return r.ExecutionDispatched.model_validate(
        {
            "event_id": "e",
            "occurred_at": 1,
            "tenant_id": "t",
            "execution_id": "x",
            "epoch": 1,
            "agent_type": "echo",
            "tier": "free",
            "hold_us": 1,
            "request_id": "q",
            "timeout_s": 1,
            "dispatch_seq": 1,
        }
        | more
    )


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(str(tmp_path))


async def stage(name: str, text: str, store: ArtifactStore) -> r.PreviousOutput:
    """A stage's output as pipelines carries it."""
    inline, ref = await carry_text(text, store)
    output_ref = None if ref is None else r.StageOutputRef(**ref.model_dump())
    return r.PreviousOutput(stage=name, output=inline, output_ref=output_ref)


async def by_reference(content: bytes, store: ArtifactStore) -> r.PreviousOutputsRef:
    return r.PreviousOutputsRef(**(await store.put(content)).model_dump())


@contextmanager
def gone(folder: Path, ref: r.PayloadRef) -> Iterator[None]:
    """The store in `folder` without that object."""
    (found,) = [path for path in folder.rglob("*") if path.name == ref.sha256]
    away = found.rename(found.with_suffix(".away"))
    yield
    away.rename(found)


@pytest.mark.parametrize("listed", ["inline", "by reference"])
async def test_each_is_fetched_from_where_it_is_in_their_order(listed: str, store: ArtifactStore) -> None:
    outputs = [await stage("b", "short", store), await stage("a", LONG, store), await stage("c", "", store)]
    if listed == "inline":
        dispatch = dispatched(previous_outputs=outputs)
    else:
        dispatch = dispatched(previous_outputs_ref=await by_reference(OF_STAGES.dump_json(outputs), store))
    assert await earlier_outputs(dispatch, store) == (("b", "short"), ("a", LONG), ("c", ""))


async def test_a_run_that_is_no_stage_has_none_and_needs_no_store() -> None:
    assert await earlier_outputs(dispatched(), None) == ()


@pytest.mark.parametrize("content", [b"no JSON", b'{"stage": "a"}', b'[{"output": "of no stage"}]', b"\xff"])
async def test_a_document_that_pipelines_did_not_write_is_refused(content: bytes, store: ArtifactStore) -> None:
    dispatch = dispatched(previous_outputs_ref=await by_reference(content, store))
    with pytest.raises(InvalidInput):
        await earlier_outputs(dispatch, store)


async def test_a_document_or_an_output_that_is_gone_is_named(store: ArtifactStore, tmp_path: Path) -> None:
    document = await by_reference(OF_STAGES.dump_json([await stage("a", LONG, store)]), store)
    for ref in (document, (await stage("a", LONG, store)).output_ref):
        assert ref is not None
        with gone(tmp_path, ref), pytest.raises(NotFound, match=ref.sha256):
            await earlier_outputs(dispatched(previous_outputs_ref=document), store)


async def test_without_a_store_nothing_can_be_fetched(store: ArtifactStore) -> None:
    dispatch = dispatched(previous_outputs=[await stage("a", LONG, store)])
    with pytest.raises((InvalidInput, PayloadTooLarge), match="PENSTOCK_ARTIFACTS_URL"):
        await earlier_outputs(dispatch, None)
