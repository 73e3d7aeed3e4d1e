"""`assistant`: offline, and with a provider that speaks OpenAI's protocol (a local server here)."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from penstock.agents import PastMessage, PermanentAgentError, ReservationUsedUp, RetryableAgentError
from penstock_consumers.agents.assistant import AssistantAgent
from penstock_consumers.agents.metered import OutputBudgetSpent
from penstock_consumers.agents.reading import word_statistics
from penstock_consumers.agents.tokens import count_tokens
from penstock_schemas import records as r
from tests.agents.test_reading import TEXT


async def test_offline_it_reads_its_input_in_steps_and_reports_each_call(by_hand):
    output = await by_hand.run(AssistantAgent(), TEXT)
    assert "- A penstock carries water to a turbine." in output
    assert "water, turbine, power" in output
    assert f"{word_statistics(TEXT).words} words" in output
    assert [step.step_type for step in by_hand.all(r.StepStarted)] == ["model", "model", "output"]
    assert [call.tool_name for call in by_hand.all(r.ToolCalled)] == ["word_statistics", "keywords"]
    first, second = by_hand.all(r.RecordUsage)
    assert (first.call_seq, second.call_seq) == (1, 2)
    assert first.input_tokens >= count_tokens(TEXT)
    assert second.input_tokens > first.input_tokens  # it read the tools' answers too
    assert second.output_tokens == count_tokens(output)
    assert "".join(said.text for said in by_hand.all(r.OutputEmitted)) == output
    assert any("priced as gpt-4-turbo for demonstration" in p.message for p in by_hand.all(r.ProgressReported))


async def test_offline_it_is_deterministic_and_depends_on_its_input(by_hand):
    first = await by_hand.run(AssistantAgent(), TEXT)
    assert await by_hand.run(AssistantAgent(), TEXT) == first
    assert await by_hand.run(AssistantAgent(), "Another text altogether.") != first


@pytest.mark.parametrize(("asked", "expected"), [(None, "gpt-4-turbo"), ("claude-3-opus", "claude-3-opus")])
async def test_offline_usage_is_priced_as_the_model_that_was_asked_for(by_hand, asked, expected):
    await by_hand.run(AssistantAgent(), TEXT, model=asked)
    assert {usage.model for usage in by_hand.all(r.RecordUsage)} == {expected}


@pytest.mark.parametrize("max_tokens", [1, 20, 100])
async def test_offline_it_stays_within_max_tokens(by_hand, max_tokens):
    await by_hand.run(AssistantAgent(), TEXT, max_tokens=max_tokens)
    assert sum(usage.output_tokens for usage in by_hand.all(r.RecordUsage)) <= max_tokens


async def test_an_empty_input_is_refused_before_anything_is_called(by_hand):
    with pytest.raises(PermanentAgentError, match="no text"):
        await by_hand.run(AssistantAgent(), " \n")
    assert by_hand.reports == []


class Provider:
    """Answers chat completions as told and remembers what it was asked."""

    def __init__(self) -> None:
        self.status = 200
        self.usage: dict | None = {
            "prompt_tokens": 100,
            "completion_tokens": 30,
            "total_tokens": 130,
            "prompt_tokens_details": {"cached_tokens": 40},
            "completion_tokens_details": {"reasoning_tokens": 12},
        }
        self.asked: list[dict] = []

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append(await request.json())
        if self.status != 200:
            return web.json_response({"error": {"message": "no"}}, status=self.status)
        choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "An answer."}}
        body = {"id": "1", "object": "chat.completion", "created": 1, "model": "m-2026", "choices": [choice]}
        return web.json_response(body | ({"usage": self.usage} if self.usage else {}))


@pytest.fixture
async def provider(environment) -> AsyncIterator[Provider]:
    provider, app = Provider(), web.Application()
    app.router.add_post("/v1/chat/completions", provider.answer)
    async with TestServer(app) as server:
        environment(PENSTOCK_ASSISTANT_BASE_URL=str(server.make_url("/v1")), PENSTOCK_ASSISTANT_MODEL="m")
        yield provider


async def test_a_providers_call_is_one_usage_with_disjoint_buckets(by_hand, provider):
    assert await by_hand.run(AssistantAgent(), "Hello?", max_tokens=77) == "An answer."
    (usage,) = by_hand.all(r.RecordUsage)
    assert (usage.model, usage.input_tokens, usage.cache_read_tokens) == ("m", 60, 40)
    assert (usage.output_tokens, usage.reasoning_tokens) == (30, 12)
    assert 77 in (provider.asked[0].get("max_tokens"), provider.asked[0].get("max_completion_tokens"))


async def test_a_provider_that_sends_no_usage_is_counted_here(by_hand, provider):
    provider.usage = None
    await by_hand.run(AssistantAgent(), "Hello?")
    (usage,) = by_hand.all(r.RecordUsage)
    assert usage.input_tokens > count_tokens("Hello?")
    assert usage.output_tokens == count_tokens("An answer.")


@pytest.mark.parametrize(
    ("status", "error"), [(429, RetryableAgentError), (503, RetryableAgentError), (400, PermanentAgentError)]
)
async def test_a_refused_call_is_made_once_and_is_retryable_only_if_that_helps(by_hand, provider, status, error):
    provider.status = status
    with pytest.raises(error, match=str(status)):
        await by_hand.run(AssistantAgent(), "Hello?")
    assert len(provider.asked) == 1  # the client's own retries are off: each would be an unreported call
    (usage,) = by_hand.all(r.RecordUsage)
    assert (usage.input_tokens, usage.output_tokens) == (0, 0)  # answered, and not billed


async def test_a_provider_that_is_not_there_is_retryable(by_hand, environment):
    environment(PENSTOCK_ASSISTANT_BASE_URL="http://127.0.0.1:9/v1")
    with pytest.raises(RetryableAgentError):
        await by_hand.run(AssistantAgent(), "Hello?")
    assert len(by_hand.all(r.StartCall)) == 1
    assert by_hand.all(r.RecordUsage) == []  # nobody knows whether it will be billed: it stays unresolved


async def test_with_nothing_left_of_the_reservation_nothing_is_called(by_hand, provider):
    with pytest.raises(ReservationUsedUp):
        await by_hand.run(AssistantAgent(), "Hello?", reserved_tokens=0)
    assert provider.asked == []


async def test_a_call_is_capped_by_what_is_left_of_the_reservation(by_hand, provider):
    await by_hand.run(AssistantAgent(), "Hello?", reserved_tokens=70)
    (call,) = by_hand.all(r.StartCall)
    assert call.cap_tokens == 70
    (asked,) = provider.asked
    assert 70 in (asked.get("max_tokens"), asked.get("max_completion_tokens"))


async def test_with_all_output_tokens_used_up_nothing_more_is_called(by_hand, provider):
    with pytest.raises(OutputBudgetSpent):
        await by_hand.run(AssistantAgent(), "Hello?", max_tokens=0)
    assert provider.asked == []


async def test_in_a_conversation_it_remembers_what_the_user_said(by_hand):
    at = datetime(2026, 11, 1, tzinfo=UTC)
    past = (PastMessage(1, "user", "My cat is called Mikesch.", at), PastMessage(1, "assistant", "Noted.", at))
    output = await by_hand.run(AssistantAgent(), "What is the cat called?", history=past, turn_number=2)
    assert "Earlier you said\n- My cat is called Mikesch." in output
    assert "Noted." not in output


async def test_a_provider_is_told_both_sides_of_what_was_said(by_hand, provider):
    at = datetime(2026, 11, 1, tzinfo=UTC)
    past = (PastMessage(1, "user", "one", at), PastMessage(1, "assistant", "two", at))
    await by_hand.run(AssistantAgent(), "three", history=past, turn_number=2)
    sent = [(m["role"], m["content"]) for m in provider.asked[0]["messages"] if m["role"] != "system"]
    assert sent == [("user", "one"), ("assistant", "two"), ("user", "three")]
