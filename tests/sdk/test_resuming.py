"""Going on exactly where one stopped, and being told what is missing."""

from __future__ import annotations

from contextlib import aclosing
from uuid import uuid4

import pytest
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from penstock import patience
from penstock.client import Client
from penstock.models import Cursor, ProgressGap
from penstock_schemas import records as r
from penstock_schemas.topics import EXECUTIONS_EVENTS, EXECUTIONS_PROGRESS
from tests.sdk.platform import SCRIPTED_ONLY, Platform
from tests.sdk.script import Execution
from tests.sdk.test_following import loaded, shape

pytestmark = pytest.mark.integration


def whole_life(run: Execution) -> list[r.Record]:
    """Two attempts, with a tail that the worker sent twice."""
    first = [run.progress(seq) for seq in (1, 2, 3, 2, 3, 4)]
    second = [run.progress(seq, epoch=2) for seq in (1, 2)]
    lost = [run.lost(), run.started(2)]
    return [run.admitted(), run.started(), *first, *lost, *second, run.completed(epoch=2, last_seq=2)]


async def seen_with_cursors(client: Client, run: Execution, cursor: Cursor | None) -> list[tuple[object, Cursor]]:
    seen = []
    async with aclosing(client.follow(run.id, from_cursor=cursor)) as follow:
        async for record in follow:
            assert follow.cursor is not None
            seen.append((shape([record])[0], Cursor.model_validate_json(follow.cursor.model_dump_json())))
    return seen


@pytest.mark.parametrize("from_history", [False, True], ids=["live", "from its history"])
async def test_every_cursor_goes_on_exactly_after_its_record(
    platform: Platform, client: Client, from_history: bool
):
    run = Execution(SCRIPTED_ONLY, str(uuid4()))
    start = await client._submitting.cursor_now(run.id)
    records = whole_life(run)
    await platform.emit(*records)
    await loaded(client, run, len(records) - 2)
    whole = await seen_with_cursors(client, run, None if from_history else start)
    assert len(whole) == len(records) - 2  # what was sent twice is shown once
    for number, (_, cursor) in enumerate(whole, 1):
        rest = await seen_with_cursors(client, run, cursor)
        assert sorted(str(what) for what, _ in rest) == sorted(str(what) for what, _ in whole[number:])


async def test_a_cursor_by_hand_leaves_out_progress_and_no_lifecycle_event(platform: Platform, client: Client):
    run = Execution(SCRIPTED_ONLY, str(uuid4()))
    records = whole_life(run)
    await platform.emit(*records)
    await loaded(client, run, len(records) - 2)
    seen = [what for what, _ in await seen_with_cursors(client, run, Cursor(epoch=1, seq=3))]
    assert [x for x in seen if isinstance(x, tuple)] == [(1, 4), (2, 1), (2, 2)]
    events = ["ExecutionAdmitted", "AttemptStarted", "AttemptLost", "AttemptStarted", "ExecutionCompleted"]
    assert [x for x in seen if isinstance(x, str)] == events


async def test_missing_progress_is_told_in_its_place(platform: Platform, client: Client):
    run = Execution(SCRIPTED_ONLY, str(uuid4()))
    start = await client._submitting.cursor_now(run.id)
    await platform.emit(run.started(), run.progress(1), run.progress(4), run.completed(last_seq=4))
    seen = [x async for x in client.follow(run.id, from_cursor=start)]
    progress = [x for x in seen if isinstance(x, ProgressGap | r.ProgressRecord)]
    gap = ProgressGap(execution_id=run.id, epoch=1, from_seq=2, to_seq=3)
    assert [x if isinstance(x, ProgressGap) else x.seq for x in progress] == [1, gap, 4]


async def test_a_lost_end_of_the_progress_is_a_gap_and_the_following_ends(
    platform: Platform, client: Client, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(patience, "LATE_PROGRESS_S", 0.2)
    run = Execution(SCRIPTED_ONLY, str(uuid4()))
    start = await client._submitting.cursor_now(run.id)
    await platform.emit(run.started(), run.progress(1), run.completed(last_seq=3))
    follow = client.follow(run.id, from_cursor=start)
    seen = [record async for record in follow]
    assert seen[-1] == ProgressGap(execution_id=run.id, epoch=1, from_seq=2, to_seq=3)
    assert [x async for x in client.follow(run.id, from_cursor=follow.cursor)] == []


async def test_what_kafka_no_longer_has_comes_from_the_history(platform: Platform, client: Client):
    run = Execution(SCRIPTED_ONLY, str(uuid4()))
    start = await client._submitting.cursor_now(run.id)
    records = [run.admitted(), run.started(), *(run.progress(seq) for seq in range(1, 6))]
    await platform.emit(*records)
    await loaded(client, run, len(records))
    async with aclosing(client.follow(run.id, from_cursor=start)) as follow:
        seen = [await anext(follow) for _ in range(4)]
        cursor = follow.cursor
    for topic in (EXECUTIONS_EVENTS, EXECUTIONS_PROGRESS):
        await retention_removes_everything(platform, run, topic)
    await platform.emit(run.completed(last_seq=5))
    rest = [record async for record in client.follow(run.id, from_cursor=cursor)]
    assert not [x for x in rest if isinstance(x, ProgressGap)]
    assert sorted(map(str, shape([*seen, *rest]))) == sorted(map(str, shape([*records, run.completed()])))


async def test_what_nobody_has_any_more_is_a_gap(platform: Platform, client: Client):
    run = Execution("never-loaded", str(uuid4()))
    start = await client._submitting.cursor_now(run.id)
    await platform.emit(run.started(), *(run.progress(seq) for seq in range(1, 6)))
    await loaded(client, run, 6)
    clickhouse = await client._reading._connected()
    forget = f"ALTER TABLE executions_progress DELETE WHERE execution_id = '{run.id}'"
    clickhouse.command(f"{forget} SETTINGS mutations_sync = 1")
    await retention_removes_everything(platform, run, EXECUTIONS_PROGRESS)
    await platform.emit(run.progress(6), run.completed(last_seq=6))
    seen = [record async for record in client.follow(run.id, from_cursor=start)]
    gaps = [x for x in seen if isinstance(x, ProgressGap)]
    assert gaps == [ProgressGap(execution_id=run.id, epoch=1, from_seq=1, to_seq=5)]


async def test_progress_after_the_terminal_event_is_not_shown(platform: Platform, client: Client):
    run = Execution(SCRIPTED_ONLY, str(uuid4()))
    start = await client._submitting.cursor_now(run.id)
    await platform.emit(run.started(), run.completed(last_seq=1))
    seen: list[object] = []
    async for record in client.follow(run.id, from_cursor=start):
        seen.append(record)
        if isinstance(record, r.ExecutionCompleted):
            late = [run.progress(9), run.progress(1, epoch=7), run.progress(1), run.progress(2)]
            await platform.emit(*late)
    assert shape(seen) == ["AttemptStarted", "ExecutionCompleted", (1, 1)]  # type: ignore[arg-type]


async def retention_removes_everything(platform: Platform, run: Execution, topic) -> None:
    """As time would."""
    partition = await platform.connection.partition_of(topic, run.id)
    end = (await platform.connection.end_offsets([partition]))[partition]
    admin = AIOKafkaAdminClient(bootstrap_servers=platform.kafka.bootstrap_servers)
    await admin.start()
    try:
        await admin.delete_records({partition: RecordsToDelete(before_offset=end)})
    finally:
        await admin.close()
