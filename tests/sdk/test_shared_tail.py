"""Many followers, one consumer: nobody misses, repeats or delays anything."""

from __future__ import annotations

import asyncio
import gc
from contextlib import aclosing
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaConsumer

from penstock import lane, shared_tail, tailing
from penstock.client import Client
from penstock.errors import KafkaUnreachable
from penstock_schemas import records as r
from penstock_schemas.topics import EXECUTIONS_PROGRESS
from tests.sdk.platform import SCRIPTED_ONLY, Platform, until
from tests.sdk.script import Execution
from tests.sdk.test_following import shape

pytestmark = pytest.mark.integration

FOLLOWERS = 1_000


@pytest.fixture
def consumers(monkeypatch: pytest.MonkeyPatch) -> list[AIOKafkaConsumer]:
    """Every consumer that was started to follow with, and has not been stopped."""
    open_now: list[AIOKafkaConsumer] = []
    start, stop = AIOKafkaConsumer.start, AIOKafkaConsumer.stop

    async def counted_start(self: AIOKafkaConsumer) -> None:
        await start(self)
        open_now.append(self)

    async def counted_stop(self: AIOKafkaConsumer) -> None:
        if self in open_now:
            open_now.remove(self)
        await stop(self)

    monkeypatch.setattr(AIOKafkaConsumer, "start", counted_start)
    monkeypatch.setattr(AIOKafkaConsumer, "stop", counted_stop)
    return open_now


def following(consumers: list[AIOKafkaConsumer]) -> list[AIOKafkaConsumer]:
    """Those that read: the client's offset reader has nothing assigned."""
    return [consumer for consumer in consumers if consumer.assignment()]


async def cursor_of(client: Client, run: Execution):
    return await client._submitting.cursor_now(run.id)


async def test_a_thousand_followers_see_everything_through_one_consumer(
    platform: Platform, client: Client, consumers: list[AIOKafkaConsumer]
):
    runs = [Execution(SCRIPTED_ONLY, str(uuid4())) for _ in range(FOLLOWERS)]
    cursors = [await cursor_of(client, run) for run in runs]
    most: list[int] = []

    async def follow(run: Execution, cursor) -> list[object]:
        seen = []
        async for record in client.follow(run.id, from_cursor=cursor):
            seen.append(record)
            most.append(len(following(consumers)))
        return shape(seen)

    watching = [asyncio.create_task(follow(run, cursor)) for run, cursor in zip(runs, cursors, strict=True)]
    await until(lambda: all_joined(client, FOLLOWERS))
    for batch in range(0, FOLLOWERS, 100):
        await asyncio.gather(
            *(
                platform.emit(
                    run.admitted(), run.started(), run.progress(1), run.progress(2), run.completed(last_seq=2)
                )
                for run in runs[batch : batch + 100]
            )
        )
    for seen in await asyncio.gather(*watching):
        assert [x for x in seen if isinstance(x, str)] == [
            "ExecutionAdmitted",
            "AttemptStarted",
            "ExecutionCompleted",
        ]
        assert [x for x in seen if isinstance(x, tuple)] == [(1, 1), (1, 2)]
    assert set(most) == {1}


async def all_joined(client: Client, number: int) -> bool:
    return len({tail for tails in client._following._shared._tails.values() for tail in tails}) == number


async def test_who_joins_late_catches_up_without_a_repeat_for_anyone(
    platform: Platform, client: Client, consumers: list[AIOKafkaConsumer]
):
    run = Execution(SCRIPTED_ONLY, str(uuid4()))
    start = await cursor_of(client, run)
    await platform.emit(run.admitted(), run.started(), *(run.progress(seq) for seq in range(1, 4)))

    async def follow() -> list[object]:
        return shape([record async for record in client.follow(run.id, from_cursor=start)])

    async with aclosing(client.follow(run.id, from_cursor=start)) as early:
        seen = [await anext(early) for _ in range(5)]
        late = [asyncio.create_task(follow()) for _ in range(50)]
        await until(lambda: all_joined(client, 51))
        await platform.emit(run.progress(4), run.completed(last_seq=4))
        seen += [record async for record in early]
    whole = ["AttemptStarted", "ExecutionAdmitted", "ExecutionCompleted", *((1, seq) for seq in range(1, 5))]
    for one in (shape(seen), *await asyncio.gather(*late)):
        assert sorted(map(str, one)) == sorted(map(str, whole))
    assert len(following(consumers)) <= 2  # the one they share, and the one that caught up


async def test_the_consumer_of_those_who_caught_up_goes_away_and_then_the_shared_one(
    platform: Platform, client: Client, consumers: list[AIOKafkaConsumer], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(lane, "LINGER_S", 0.3)
    monkeypatch.setattr(shared_tail, "BATCH_RECORDS", 1)
    run = Execution(SCRIPTED_ONLY, str(uuid4()))
    start = await cursor_of(client, run)
    await platform.emit(run.admitted(), run.started(), *(run.progress(seq) for seq in range(1, 9)))
    async with aclosing(client.follow(run.id, from_cursor=start)) as follow:
        assert len([await anext(follow) for _ in range(10)]) == 10
        assert client._following._shared._late is not None  # control: catching up was needed

        async def only_live() -> bool:
            return len(following(consumers)) == 1

        await until(only_live)

    async def none() -> bool:
        return not following(consumers)

    await until(none)


async def test_a_follower_that_does_not_take_its_records_delays_nobody_and_misses_nothing(
    platform: Platform, client: Client, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(tailing, "MOST_WAITING", 10)
    run = Execution(SCRIPTED_ONLY, str(uuid4()))
    start = await cursor_of(client, run)
    async with aclosing(client.follow(run.id, from_cursor=start)) as slow:
        await platform.emit(run.admitted())
        first = await anext(slow)
        await platform.emit(
            run.started(), *(run.progress(seq) for seq in range(1, 101)), run.completed(last_seq=100)
        )
        quick = [record async for record in client.follow(run.id, from_cursor=start)]  # ends: nobody holds it up
        (tail,) = {tail for tails in client._following._shared._tails.values() for tail in tails}
        assert len(tail._waiting) <= 10  # control: the slow one really was left behind
        rest = [record async for record in slow]
    progress = [(1, seq) for seq in range(1, 101)]
    assert [x for x in shape(quick) if isinstance(x, tuple)] == progress
    assert [x for x in shape([first, *rest]) if isinstance(x, tuple)] == progress
    assert [x for x in shape([first, *rest]) if isinstance(x, str)] == [
        "ExecutionAdmitted",
        "AttemptStarted",
        "ExecutionCompleted",
    ]


async def test_an_id_of_any_shape_can_be_followed_beside_ours(platform: Platform, client: Client):
    run, odd = Execution(SCRIPTED_ONLY, str(uuid4())), Execution(SCRIPTED_ONLY, str(uuid4()))
    odd.rename("Not A UUID / at all")
    starts = [await cursor_of(client, one) for one in (run, odd)]

    async def follow(one: Execution, start) -> list[object]:
        return shape([record async for record in client.follow(one.id, from_cursor=start)])

    both = [asyncio.create_task(follow(one, start)) for one, start in zip((run, odd), starts, strict=True)]
    await until(lambda: all_joined(client, 2))
    for one in (run, odd):
        await platform.emit(one.admitted(), one.completed())
    assert await asyncio.gather(*both) == [["ExecutionAdmitted", "ExecutionCompleted"]] * 2


async def test_what_fails_the_consumer_reaches_every_follower_and_the_next_one_starts_anew(
    platform: Platform, client: Client, monkeypatch: pytest.MonkeyPatch
):
    runs = [Execution(SCRIPTED_ONLY, str(uuid4())) for _ in range(20)]

    async def follow(run: Execution) -> None:
        async for _ in client.follow(run.id, from_cursor=await cursor_of(client, run)):
            pass

    watching = [asyncio.create_task(follow(run)) for run in runs]
    await until(lambda: all_joined(client, len(runs)))

    getmany = AIOKafkaConsumer.getmany

    async def broken(self: AIOKafkaConsumer, **options: int) -> object:
        if self._group_id is None:
            raise OSError("the network is gone")
        return await getmany(self, **options)  # the loader's

    with monkeypatch.context() as patch:
        patch.setattr(AIOKafkaConsumer, "getmany", broken)
        ends = await asyncio.gather(*watching, return_exceptions=True)
    assert [type(end) for end in ends] == [KafkaUnreachable] * len(runs)
    start = await cursor_of(client, runs[0])
    await platform.emit(runs[0].completed("on it goes"))
    assert shape([x async for x in client.follow(runs[0].id, from_cursor=start)]) == ["ExecutionCompleted"]


async def test_a_cluster_that_does_not_answer_is_asked_once_for_all_who_join(
    platform: Platform, client: Client, monkeypatch: pytest.MonkeyPatch
):
    runs = [Execution(SCRIPTED_ONLY, str(uuid4())) for _ in range(20)]
    cursors = [await cursor_of(client, run) for run in runs]
    asked, answer = [], asyncio.Event()

    async def no_answer(partitions: object) -> None:
        asked.append(partitions)
        await answer.wait()
        raise KafkaUnreachable("nobody there")

    async def follow(run: Execution, cursor) -> None:
        async for _ in client.follow(run.id, from_cursor=cursor):
            pass

    monkeypatch.setattr(client._kafka, "end_offsets", no_answer)
    waiting = [asyncio.create_task(follow(run, cursor)) for run, cursor in zip(runs, cursors, strict=True)]

    async def all_wait() -> bool:
        joining = client._following._shared._joining
        return bool(asked) and len(joining._waiters or ()) == len(runs) - 1

    await until(all_wait)
    answer.set()
    ends = await asyncio.gather(*waiting, return_exceptions=True)
    assert [str(end) for end in ends] == ["nobody there"] * len(runs)
    assert len(asked) == 1


async def test_followers_that_left_are_forgotten(platform: Platform, client: Client):
    run = Execution(SCRIPTED_ONLY, str(uuid4()))
    for _ in range(3):
        start = await cursor_of(client, run)
        await platform.emit(run.admitted())
        async with aclosing(client.follow(run.id, from_cursor=start)) as follow:
            assert isinstance(await anext(follow), r.ExecutionAdmitted)
    gc.collect()
    assert not [
        thing for thing in gc.get_objects() if type(thing) is tailing.Tail and thing.needle == run.id.encode()
    ]


async def test_a_flood_of_other_executions_passes_by(platform: Platform, client: Client):
    run = Execution(SCRIPTED_ONLY, str(uuid4()))
    start = await cursor_of(client, run)
    noise = b"\x00\x00\x00\x00\x01H" + str(uuid4()).encode() + b"x" * 200
    watching = asyncio.create_task(anext(client.follow(run.id, from_cursor=start)))
    await asyncio.gather(*(platform.emit_raw(EXECUTIONS_PROGRESS, run.id, noise) for _ in range(300)))
    await platform.emit(run.progress(1))
    assert shape([await watching]) == [(1, 1)]
