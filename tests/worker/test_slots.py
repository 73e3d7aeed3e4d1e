"""A slot process by itself: what an agent may do without breaking the protocol, and what ends it."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from penstock_consumers.worker.boottime import boottime_s
from penstock_consumers.worker.pool import SlotPool
from penstock_consumers.worker.slots import Slot, SlotDied
from penstock_consumers.worker.wire import Ended, Extend, Reported, Start
from penstock_schemas.traces import TraceContext
from tests.worker.lease_authority import exists, until


@pytest.fixture(scope="module")
async def slot() -> AsyncIterator[Slot]:
    """For runs that a slot survives; starting one takes most of a second."""
    async with spawned() as slot:
        yield slot


@pytest.fixture
async def own_slot() -> AsyncIterator[Slot]:
    """For runs that end it."""
    async with spawned() as slot:
        yield slot


@asynccontextmanager
async def spawned() -> AsyncIterator[Slot]:
    slot = await Slot.spawn()
    await slot.until_ready()
    try:
        yield slot
    finally:
        await slot.close()


def start(
    agent_type: str, *, lives_s: float = 60, workspace: Path = Path("/nowhere"), text: str = "hello"
) -> Start:
    return Start(
        "e-1", 1, "acme", agent_type, text, None, None, None, None, {}, str(workspace), boottime_s() + lives_s
    )


async def run(slot: Slot, message: Start) -> tuple[list[str], Ended]:
    """Everything reported by type, and how it ended."""
    reported = []
    slot.send(message)
    while not isinstance(said := await slot.next_report(), Ended):
        reported.append(said.record_type)
    return reported, said


async def run_and_return(slot: Slot, message: Start) -> Ended:
    """How it ended, once the slot asks for more."""
    _, ended = await run(slot, message)
    await slot.until_ready()
    return ended


async def test_what_an_agent_records_is_below_the_span_of_its_run(slot):
    run_span = TraceContext(f"00-{'8' * 32}-{'7' * 16}-01")
    traced = await run_and_return(slot, msgspec.structs.replace(start("tells-its-trace"), trace=run_span))
    assert traced.output == f"{'8' * 32} {'7' * 16} True"
    untraced = await run_and_return(slot, start("tells-its-trace"))
    assert untraced.output == f"{'0' * 32} {'0' * 16} True"


async def test_a_run_reports_in_order_and_returns_its_output(slot):
    reported, ended = await run(slot, start("works"))
    await slot.until_ready()
    assert reported == ["StepStarted", "ProgressReported", "RecordUsage", "StepFinished"]
    assert ended == Ended(output="hello")


@pytest.mark.parametrize(
    ("agent", "error_type", "message", "retryable"),
    [
        ("fails", "ValueError", "not my day", False),
        ("fails-for-now", "RetryableAgentError", "the provider is away", True),
        ("returns-number", "NotText", "agent 'returns-number' returned int instead of str", False),
        ("returns-surrogate", "UnicodeEncodeError", "surrogates not allowed", False),
        ("nobody", "UnknownAgent", "no agent 'nobody' is registered in this worker; registered: ", False),
        ("broken", "PermanentAgentError", "cannot be loaded: ModuleNotFoundError", False),
    ],
)
async def test_a_failure_is_reported_with_its_type_and_the_slot_goes_on(
    slot, agent, error_type, message, retryable
):
    ended = await run_and_return(slot, start(agent))
    assert (ended.error_type, ended.retryable) == (error_type, retryable)
    assert message in ended.error_message
    assert (await run_and_return(slot, start("works"))).output == "hello"


async def test_an_agent_that_exits_has_failed_and_its_process_is_not_used_again(own_slot):
    _, ended = await run(own_slot, start("exits"))
    assert (ended.error_type, ended.error_message, ended.retryable) == ("SystemExit", "enough", False)
    with pytest.raises(SlotDied):
        await own_slot.until_ready()


async def test_an_agent_that_ends_its_process_is_told_from_one_that_fails(own_slot):
    own_slot.send(start("crashes"))
    with pytest.raises(SlotDied, match="status 9"):
        await own_slot.next_report()


async def test_printing_does_not_touch_the_protocol(slot):
    assert (await run_and_return(slot, start("prints"))).output == "printed"


@pytest.mark.parametrize("agent", ["leaves-child", "leaves-daemon"])
async def test_what_an_agent_leaves_running_ends_before_its_run_does(slot, agent):
    child = int((await run_and_return(slot, start(agent))).output)
    assert not exists(child)


async def test_the_workspace_is_made_when_it_is_used(slot, tmp_path):
    folder = tmp_path / "deep" / "run"
    assert (await run_and_return(slot, start("works", workspace=folder))).output == "hello"
    assert not folder.exists()
    assert (await run_and_return(slot, start("writes-file", workspace=folder))).output == str(folder)
    assert (folder / "note").read_text() == "mine"


@pytest.mark.parametrize("agent", ["blocks", "holds-the-gil"])
async def test_a_blocked_run_is_killed_at_its_deadline_without_the_supervisor(own_slot, agent):
    with pytest.raises(SlotDied):
        await run(own_slot, start(agent, lives_s=0.3))


async def test_an_extended_run_outlives_its_first_deadline(own_slot):
    """The control of the test above."""
    begun = time.monotonic()
    own_slot.send(start("waits", lives_s=0.3, text="0.8"))
    assert isinstance(await own_slot.next_report(), Reported)
    own_slot.send(Extend(boottime_s() + 60))
    assert await own_slot.next_report() == Ended(output="waited")
    assert time.monotonic() - begun > 0.8


async def test_an_idle_slot_has_no_deadline(slot):
    await run_and_return(slot, start("works", lives_s=0.2))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(slot.ended(), 0.5)


async def test_a_slot_and_its_children_end_when_the_supervisor_is_gone(own_slot):
    own_slot.send(start("blocks"))
    assert isinstance(await own_slot.next_report(), Reported)
    own_slot._writer.transport.abort()
    await until(lambda: not own_slot.alive, "the slot ended")


async def test_the_pool_replaces_a_dead_slot():
    pool = SlotPool(1)
    keeping = asyncio.create_task(pool.keep())
    try:
        reserved = await pool.reserve()
        first = await pool.take()
        first.kill()
        await pool.put_back(first)
        reserved.release()
        second = await pool.take()
        assert second.pid != first.pid
        assert not exists(first.pid)
    finally:
        keeping.cancel()
        await asyncio.wait([keeping])
    assert not exists(second.pid)
