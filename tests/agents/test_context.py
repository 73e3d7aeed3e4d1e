"""What an agent can say, and what becomes of it."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.agents._records import MAX_NOTE_BYTES, note, pieces
from penstock.errors import InvalidInput
from penstock_schemas import records as r
from penstock_schemas.ids import derived_id, usage_id
from penstock_schemas.topics import MAX_INLINE_BYTES


async def test_reports_are_numbered_from_one_without_gaps_and_have_derived_ids(by_hand):
    context = by_hand.context()
    async with context.step("read", "io"), context.tool("grep") as call:
        call.summary = "3 lines"
        await context.progress("half", 0.5)
    await context.emit("text")
    assert [type(record).__name__ for record in by_hand.reports] == [
        "StepStarted",
        "ProgressReported",
        "ToolCalled",
        "StepFinished",
        "OutputEmitted",
    ]
    assert [record.seq for record in by_hand.reports] == [1, 2, 3, 4, 5]
    assert by_hand.reports[1].event_id == derived_id("progress", "e-1", 1, 2)
    assert (by_hand.reports[2].status, by_hand.reports[2].summary) == ("success", "3 lines")
    assert (by_hand.reports[3].status, by_hand.reports[3].step_number) == ("ok", 1)


@pytest.mark.parametrize("error", [ValueError("no"), asyncio.CancelledError("no")])
async def test_a_step_and_a_tool_that_fail_say_so_and_the_failure_goes_on(by_hand, error):
    context = by_hand.context()
    with pytest.raises(type(error)):
        async with context.step("s"), context.tool("t"):
            raise error
    (called,), (finished,) = by_hand.all(r.ToolCalled), by_hand.all(r.StepFinished)
    assert (called.status, called.summary) == ("error", f"{type(error).__name__}: no")
    assert (finished.status, finished.error) == ("error", f"{type(error).__name__}: no")


@pytest.mark.parametrize("fraction", [-0.1, 1.1, float("nan")])
async def test_a_refused_value_is_named_and_leaves_no_gap(by_hand, fraction):
    context = by_hand.context()
    with pytest.raises(InvalidInput, match=r"ProgressReported\.fraction"):
        await context.progress("x", fraction)
    await context.progress("y", 1.0)
    assert [record.seq for record in by_hand.reports] == [1]


async def test_each_call_is_one_usage_with_its_own_number(by_hand):
    context = by_hand.context(user_id="ada")
    await context.record_usage("gpt-4", 10, 20, cache_read_tokens=3, cache_write_tokens=4, reasoning_tokens=5)
    await context.record_usage("gpt-4", 0, 0)
    first, second = by_hand.all(r.RecordUsage)
    assert (first.call_seq, second.call_seq) == (1, 2)
    assert first.usage_id == usage_id("acme", "e-1", 1, 1)
    assert (first.input_tokens, first.cache_read_tokens, first.cache_write_tokens) == (10, 3, 4)
    assert (first.output_tokens, first.reasoning_tokens, first.user_id) == (20, 5, "ada")


async def test_units_are_reported_and_are_no_tokens(by_hand):
    context = by_hand.context(reserved_tokens=31)
    async with context.call("gpt-4") as call:
        call.used(10, 20, tool_calls=3, sandbox_cpu_ms=400, sandbox_gb_ms=500)
    async with context.call("gpt-4") as last:
        last.used(1, 0)
    usage, _ = by_hand.all(r.RecordUsage)
    assert (usage.tool_calls, usage.sandbox_cpu_ms, usage.sandbox_gb_ms) == (3, 400, 500)
    assert last.cap_tokens == 1


@pytest.mark.parametrize(
    ("tokens", "named"),
    [
        ({"input_tokens": -1, "output_tokens": 0}, "input_tokens is -1"),
        ({"input_tokens": 0, "output_tokens": 0, "cache_read_tokens": -2}, "cache_read_tokens is -2"),
        ({"input_tokens": 0, "output_tokens": 1, "reasoning_tokens": 2}, "reasoning_tokens 2"),
        ({"input_tokens": 0, "output_tokens": 0, "tool_calls": -1}, "tool_calls is -1"),
        ({"input_tokens": 1 << 63, "output_tokens": 1}, "input_tokens"),
    ],
)
async def test_token_counts_that_cannot_be_are_refused(by_hand, tokens, named):
    with pytest.raises(InvalidInput, match=named):
        await by_hand.context().record_usage("gpt-4", **tokens)
    assert by_hand.reports == []


async def test_a_long_text_is_emitted_in_pieces_that_fit_a_record(by_hand):
    text = "ü" * MAX_INLINE_BYTES
    await by_hand.context().emit(text)
    said = [record.text for record in by_hand.all(r.OutputEmitted)]
    assert "".join(said) == text
    assert max(len(piece.encode()) for piece in said) <= MAX_INLINE_BYTES


async def test_a_long_message_is_cut(by_hand):
    await by_hand.context().progress("x" * 10_000)
    assert by_hand.reports[0].message == "x" * MAX_NOTE_BYTES


async def test_an_agent_learns_that_it_will_be_ended(by_hand):
    context = by_hand.context()
    assert not context.cancelled
    context.cancel()
    assert context.cancelled


@given(st.text(), st.integers(min_value=4, max_value=20))
def test_pieces_lose_nothing_and_fit(text, limit):
    found = list(pieces(text, limit))
    assert "".join(found) == text.encode(errors="replace").decode()
    assert all(0 < len(piece.encode()) <= limit for piece in found)


@given(st.text(alphabet=st.characters(exclude_categories=())), st.integers(min_value=0, max_value=20))
def test_a_note_is_always_utf_8_within_its_limit(text, limit):
    assert len(note(text, limit).encode()) <= limit
