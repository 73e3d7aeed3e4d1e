"""`echo`."""

from penstock_consumers.agents.echo import EchoAgent
from penstock_consumers.agents.tokens import count_tokens, first_tokens
from penstock_schemas import records as r


async def test_echo_returns_its_input_and_calls_no_model(by_hand):
    assert await by_hand.run(EchoAgent(), "grüße") == "grüße"
    assert [type(record) for record in by_hand.reports] == [r.StepStarted, r.StepFinished]


async def test_echo_reports_its_real_tokens_for_a_model_that_is_named(by_hand):
    await by_hand.run(EchoAgent(), "hello world", model="gpt-4")
    (usage,) = by_hand.all(r.RecordUsage)
    assert (usage.model, usage.input_tokens, usage.output_tokens) == ("gpt-4", 2, 2)


def test_control_tokens_in_a_text_count_as_text():
    assert count_tokens("<|endoftext|>") > 1


def test_a_text_is_cut_at_a_token_and_stays_text():
    assert first_tokens("hello world", 1) == "hello"
    assert first_tokens("hello world", 2) == "hello world"
    assert first_tokens("🜁🜂🜃", 1) in ("", "🜁")
