"""Files of runs in a worker: kept, told, and put into the workspace of the next stage."""

from pathlib import Path
from typing import Any

import pytest

from penstock.artifacts import ArtifactStore
from penstock.errors import NotFound
from penstock.kept import ListedFile, list_bytes, read_list
from penstock.settings import ArtifactSettings
from penstock_consumers.worker.settings import WorkerSettings
from penstock_consumers.worker.worker import Worker
from penstock_schemas import records as r
from penstock_schemas.ids import payload_scope
from tests.fixtures.sandbox import missing
from tests.worker.lease_authority import QUEUE, LeaseAuthority, Platform, running

in_sandbox = pytest.mark.skipif(missing() is not None, reason=str(missing()))
pytestmark = pytest.mark.integration


@pytest.fixture
def store(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> ArtifactStore:
    """The store of the worker and its slots."""
    monkeypatch.setenv("PENSTOCK_ARTIFACTS_URL", str(platform.artifacts))
    return ArtifactStore(str(platform.artifacts))


async def handed(store: ArtifactStore, folder: str = "", **files: Any) -> r.HandedArtifacts:
    """Files as a stage before would have kept them; a size instead of text is claimed without being there."""
    kept = []
    for path, text in files.items():
        ref = await store.put(text.encode() if isinstance(text, str) else b"x")
        size = len(text.encode()) if isinstance(text, str) else text
        kept.append(ListedFile(path=path.replace("__", "/"), size_bytes=size, sha256=ref.sha256))
    ref = await store.put(list_bytes(kept))
    return r.HandedArtifacts(folder=folder, ref=r.ArtifactsRef(sha256=ref.sha256, size=ref.size, uri=ref.uri))


@in_sandbox
async def test_what_a_command_left_is_kept_and_told_and_the_next_stage_finds_it(
    authority: LeaseAuthority, start_worker: Any, store: ArtifactStore, sandbox_folder: Path
) -> None:
    async with start_worker(tiers=("free",)):
        first = await authority.dispatch(
            "shell", input="mkdir out; echo one > out/a.csv; echo no > b.txt", artifact_patterns=["out/*"]
        )
        finish = await authority.finished(first)
        assert (finish.error_message, finish.artifacts) == (None, 1)
        (kept,) = await read_list(finish.artifacts_ref, store)
        assert (kept.path, kept.size_bytes) == ("out/a.csv", 4)
        (told,) = authority.all(r.ArtifactKept, first)
        assert (told.path, told.sha256, told.size_bytes) == (kept.path, kept.sha256, kept.size_bytes)

        given = [r.HandedArtifacts(folder="", ref=finish.artifacts_ref), await handed(store, "B 2", x__y="two\n")]
        look = "cat out/a.csv 'B 2/x/y' && echo more >> out/a.csv && tail -1 out/a.csv"
        owners = "stat -c %u . out out/a.csv 'B 2' 'B 2/x/y' | uniq | wc -l"
        second = await authority.dispatch("shell", input=f"{look} && {owners}", handed_artifacts=given)
        assert (await authority.finished(second)).output == "one\ntwo\nmore\n1\n", (
            "all belong to the sandbox's user"
        )


@in_sandbox
async def test_what_an_agent_kept_itself_is_the_executions_artifact(
    authority: LeaseAuthority, start_worker: Any, store: ArtifactStore, sandbox_folder: Path
) -> None:
    async with start_worker(tiers=("free",)):
        finish = await authority.finished(await authority.dispatch("keeps-twice"))
    assert [(file.path, file.size_bytes) for file in await read_list(finish.artifacts_ref, store)] == [
        ("out.txt", 6)
    ]


@in_sandbox
async def test_what_is_kept_in_a_conversation_goes_with_it(
    authority: LeaseAuthority, start_worker: Any, store: ArtifactStore, sandbox_folder: Path
) -> None:
    turn = {"user_id": "ann", "conversation_id": "c1", "turn_number": 1}
    async with start_worker(tiers=("free",)):
        kept_in_it = (await authority.finished(await authority.dispatch("keeps-twice", **turn))).artifacts_ref
        kept_elsewhere = (await authority.finished(await authority.dispatch("keeps-twice"))).artifacts_ref
    (file,) = await read_list(kept_in_it, store)
    assert len(await store.get(file.ref)) == file.size_bytes

    await store.remove(payload_scope("acme", "ann", "c1"))
    for gone in (kept_in_it, file.ref):
        with pytest.raises(NotFound):
            await store.get(gone)
    (same,) = await read_list(kept_elsewhere, store)
    assert len(await store.get(same.ref)) == file.size_bytes


@in_sandbox
async def test_an_attempt_that_failed_has_no_artifacts(
    authority: LeaseAuthority, start_worker: Any, store: ArtifactStore, sandbox_folder: Path
) -> None:
    async with start_worker(tiers=("free",)):
        execution = await authority.dispatch("keeps-twice", input="fail")
        finish = await authority.finished(execution)
    assert (finish.status, finish.artifacts_ref, finish.artifacts) == ("failed", None, 0)
    assert authority.all(r.ArtifactKept, execution), "it was told as progress of that attempt"


@in_sandbox
async def test_more_than_an_attempt_may_keep_is_refused(
    authority: LeaseAuthority, start_worker: Any, store: ArtifactStore, sandbox_folder: Path
) -> None:
    async with start_worker(tiers=("free",)):
        execution = await authority.dispatch("shell", input="seq 1001 | xargs touch", artifact_patterns=["*"])
        finish = await authority.finished(execution)
    assert (finish.error_type, finish.retryable) == ("WorkspaceRefused", False)
    assert "1001 files match ['*']; at most 1000 are kept" in (finish.error_message or "")


@in_sandbox
@pytest.mark.parametrize(
    ("folder", "files", "error_type"),
    [
        ("", {"..__x": "out"}, "WorkspaceRefused"),
        ("..", {"x": "out"}, "WorkspaceRefused"),
        ("", {"__etc__x": "out"}, "WorkspaceRefused"),
        ("", {"x": 60 << 20, "y": 60 << 20}, "QuotaExceeded"),
        ("", {"x": 7}, "ArtifactStoreUnreachable"),
    ],
    ids=["above", "a folder above", "absolute", "more than the quota", "not what the list says"],
)
async def test_files_that_cannot_be_handed_on_end_the_attempt_before_its_agent_starts(
    authority: LeaseAuthority,
    start_worker: Any,
    store: ArtifactStore,
    sandbox_folder: Path,
    folder: str,
    files: dict[str, Any],
    error_type: str,
) -> None:
    async with start_worker(tiers=("free",)):
        given = [await handed(store, folder, **files)]
        execution = await authority.dispatch("shell", input="true", handed_artifacts=given)
        finish = await authority.finished(execution)
    assert (finish.status, finish.error_type) == ("failed", error_type), finish.error_message
    assert authority.all(r.StepStarted, execution) == []


async def test_a_worker_without_a_sandbox_or_a_store_says_which_setting_is_missing(
    authority: LeaseAuthority, start_worker: Any, platform: Platform
) -> None:
    async with start_worker():
        finish = await authority.finished(await authority.dispatch("echo", artifact_patterns=["*"]))
    assert (finish.error_type, finish.retryable) == ("SandboxUnavailable", False)
    assert "PENSTOCK_WORKER_TIERS" in (finish.error_message or "")


@in_sandbox
async def test_a_worker_without_a_store_says_so(
    authority: LeaseAuthority, platform: Platform, sandbox_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PENSTOCK_ARTIFACTS_URL", raising=False)
    settings = WorkerSettings(queues=(QUEUE,), heartbeat_s=0.2, lease_margin_s=0.3, drain_s=0.0, tiers=("free",))
    worker = Worker(settings, platform.kafka, platform.registry, ArtifactSettings(url=None))
    async with running(worker):
        finish = await authority.finished(await authority.dispatch("shell", input="true", artifact_patterns=["*"]))
    assert (finish.error_type, finish.retryable) == ("InvalidInput", False)
    assert "PENSTOCK_ARTIFACTS_URL" in (finish.error_message or "")
