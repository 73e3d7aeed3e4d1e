"""Following one execution: live, from its history, and across both."""

from __future__ import annotations

from uuid import uuid4

import pytest

from penstock.client import Client
from penstock.errors import (
    ClickHouseUnreachable,
    ExecutionFailedError,
    ExecutionTimedOutError,
    FollowTimeout,
    NotFound,
    RequestRejected,
)
from penstock.settings import ArtifactSettings, ClickHouseSettings
from penstock_schemas import records as r
from penstock_schemas.topics import EXECUTIONS_EVENTS
from tests.sdk.platform import SCRIPTED_ONLY, Platform, until
from tests.sdk.script import Execution

pytestmark = pytest.mark.integration


def shape(records: list[r.Record]) -> list[object]:
    """Records in short: progress by its (epoch, seq), others by their type."""
    return [(x.epoch, x.seq) if isinstance(x, r.ProgressRecord) else type(x).__name__ for x in records]


async def submitted(client: Client, request_id: str | None = None) -> Execution:
    submission = await client.submit("echo", "x", tenant=SCRIPTED_ONLY, request_id=request_id)
    run = Execution(SCRIPTED_ONLY, submission.request_id)
    assert run.id == submission.execution_id
    return run


async def loaded(client: Client, run: Execution, records: int) -> None:
    """Wait until ClickHouse has so many records of `run`."""

    async def count() -> bool:
        query = """
            SELECT (SELECT count() FROM executions_events FINAL WHERE execution_id = {id:String})
                 + (SELECT count() FROM executions_progress FINAL WHERE execution_id = {id:String}) AS n
        """
        (row,) = await client._reading.rows(query, {"id": run.id})
        return bool(row["n"] >= records)

    await until(count)


async def test_what_this_client_submitted_is_followed_live_and_needs_no_clickhouse(platform: Platform):
    async with platform.client(clickhouse=ClickHouseSettings(port=1)) as client:
        run = await submitted(client)
        await platform.emit(run.admitted(), run.started(), run.progress(1), run.completed("yes", last_seq=1))
        seen = [record async for record in client.follow(run.id)]
        assert sorted(map(str, shape(seen))) == sorted(
            ["ExecutionAdmitted", "AttemptStarted", "(1, 1)", "ExecutionCompleted"]
        )
        assert await client.result(run.id) == "yes"
        with pytest.raises(ClickHouseUnreachable, match=r"127\.0\.0\.1:1 "):  # control: it really is not there
            await client.list()


async def test_resent_progress_is_shown_once(platform: Platform, client: Client):
    run = await submitted(client)
    resent = [run.progress(seq) for seq in (1, 2, 3, 2, 3, 4)]
    await platform.emit(run.admitted(), run.started(), *resent, run.completed(last_seq=4))
    seen = [record async for record in client.follow(run.id)]
    assert [x for x in shape(seen) if isinstance(x, tuple)] == [(1, 1), (1, 2), (1, 3), (1, 4)]


async def test_progress_that_arrives_after_the_end_is_waited_for(platform: Platform, client: Client):
    run = await submitted(client)
    await platform.emit(run.admitted(), run.started(), run.completed(last_seq=2))
    seen: list[r.Record] = []
    async for record in client.follow(run.id):
        seen.append(record)
        if isinstance(record, r.ExecutionCompleted):
            await platform.emit(run.progress(1), run.progress(2))
    assert shape(seen)[-2:] == [(1, 1), (1, 2)]


async def test_another_client_gets_history_then_the_rest_without_gap_or_repeat(platform: Platform, client: Client):
    run = Execution(SCRIPTED_ONLY, str(uuid4()))
    before = [run.admitted(), run.started(), *(run.progress(seq) for seq in range(1, 6))]
    after = [run.lost(), run.started(2), *(run.progress(seq, epoch=2) for seq in range(1, 4))]
    await platform.emit(*before)
    await loaded(client, run, len(before))
    seen: list[r.Record] = []
    async for record in client.follow(run.id):
        seen.append(record)
        if len(seen) == len(before):
            await platform.emit(*after, run.completed(epoch=2, last_seq=3))
    events = ["ExecutionAdmitted", "AttemptStarted", "AttemptLost", "AttemptStarted", "ExecutionCompleted"]
    assert [x for x in shape(seen) if isinstance(x, str)] == events
    progress = [*((1, n) for n in range(1, 6)), *((2, n) for n in range(1, 4))]
    assert [x for x in shape(seen) if isinstance(x, tuple)] == progress


async def test_a_finished_execution_is_read_from_its_history_in_order(platform: Platform, client: Client):
    run = Execution(SCRIPTED_ONLY, str(uuid4()))
    records = [run.admitted(), run.started(), run.progress(1), run.progress(2), run.completed("old", last_seq=2)]
    await platform.emit(*records)
    await loaded(client, run, len(records))
    assert shape([record async for record in client.follow(run.id)]) == shape(records)
    assert await client.result(run.id) == "old"


async def test_an_execution_that_is_not_loaded_yet_is_found_on_kafka(platform: Platform, client: Client):
    run = Execution(SCRIPTED_ONLY, str(uuid4()))
    await platform.emit(run.admitted(), run.started(), run.progress(1), run.completed("fresh", last_seq=1))
    assert (await client.get(run.id)).status == "completed"
    assert await client.result(run.id, timeout_s=20) == "fresh"


async def test_an_unknown_execution_is_said_to_be_unknown(client: Client):
    with pytest.raises(NotFound, match="no execution 'nonsense'"):
        await client.result("nonsense", timeout_s=20)
    with pytest.raises(NotFound, match="no execution 'nonsense'"):
        await client.get("nonsense")


async def test_patience_ends_with_an_error_and_the_execution_goes_on(platform: Platform, client: Client):
    run = await submitted(client)
    await platform.emit(run.admitted(), run.started())
    with pytest.raises(FollowTimeout, match=f"{run.id} did not end within 0.5 s"):
        await client.result(run.id, timeout_s=0.5)
    await platform.emit(run.completed("late"))
    assert await client.result(run.id) == "late"


async def test_a_cursor_starts_where_it_points(platform: Platform, client: Client):
    run = await submitted(client)
    await platform.emit(run.admitted())
    cursor = await client._submitting.cursor_now(run.id)
    await platform.emit(run.started(), run.completed())
    seen = [record async for record in client.follow(run.id, from_cursor=cursor)]
    assert shape(seen) == ["AttemptStarted", "ExecutionCompleted"]


@pytest.mark.parametrize(
    ("end", "error", "says"),
    [
        (lambda run: run.rejected("budget", "spent"), RequestRejected, "budget: spent"),
        (lambda run: run.failed("no luck"), ExecutionFailedError, "ValueError: no luck"),
        (lambda run: run.timed_out(), ExecutionTimedOutError, "deadline of 7 s"),
    ],
)
async def test_a_run_without_a_result_raises_why(platform: Platform, client: Client, end, error, says):
    run = await submitted(client)
    await platform.emit(end(run))
    with pytest.raises(error, match=says):
        await client.result(run.id)


async def test_the_same_request_again_gets_the_earlier_answer(platform: Platform, client: Client):
    run = await submitted(client, request_id=str(uuid4()))
    await platform.emit(run.admitted(), run.completed("once"))
    await loaded(client, run, 2)
    async with platform.client() as later:
        await later.submit("echo", "x", tenant=SCRIPTED_ONLY, request_id=run.request_id)
        assert await later.result(run.id, timeout_s=20) == "once"


async def test_another_request_under_a_used_id_is_refused_and_not_given_its_result(
    platform: Platform, client: Client
):
    run = await submitted(client, request_id=str(uuid4()))
    await platform.emit(run.admitted(), run.completed("not yours"))
    await loaded(client, run, 2)
    async with platform.client() as later:
        other = await later.submit("echo", "different", tenant=SCRIPTED_ONLY, request_id=run.request_id)
        await platform.emit(run.refused(other.event_id))
        with pytest.raises(RequestRejected, match="duplicate_mismatch"):
            await later.result(run.id, timeout_s=20)
    assert await client.result(run.id, timeout_s=20) == "not yours"  # the first request's sender is untouched


async def test_an_output_by_reference_is_fetched(platform: Platform, tmp_path):
    from penstock.artifacts import ArtifactStore

    async with platform.client(artifacts=ArtifactSettings(url=str(tmp_path))) as client:
        run = await submitted(client)
        ref = await ArtifactStore(str(tmp_path)).put("long äöü".encode())
        await platform.emit(run.admitted(), run.completed(None, ref=ref))
        assert await client.result(run.id) == "long äöü"
        await loaded(client, run, 2)
        assert (await client.get(run.id)).output_ref == ref


async def test_poison_beside_an_execution_does_not_disturb_its_follower(platform: Platform, client: Client):
    run = await submitted(client)
    await platform.emit_raw(EXECUTIONS_EVENTS, run.id, b"\x00\x00\x00\x00\x01" + run.id.encode())
    await platform.emit(run.admitted(), run.completed("still here"))
    assert await client.result(run.id) == "still here"
