"""Money: one formula, integers only, checked against decimal arithmetic."""

from decimal import ROUND_HALF_EVEN, Decimal

import pytest
from genai_prices.data import providers
from hypothesis import given
from hypothesis import strategies as st

from penstock.errors import InvalidInput
from penstock.money import exact_usd_text, nanousd_of
from penstock_services.pricing import BUILTIN_PRICES, Price, Tier, Tokens, Units, cost_nanousd
from penstock_services.pricing.published import published_prices

token_counts = st.integers(min_value=0, max_value=10**12)
unit_prices = st.integers(min_value=0, max_value=10**12)


@pytest.mark.parametrize(
    ("model", "input_usd", "output_usd"),
    [
        ("claude-3-opus", 15, 75),
        ("claude-3-sonnet", 3, 15),
        ("claude-3-haiku", Decimal("0.25"), Decimal("1.25")),
        ("gpt-4", 30, 60),
        ("gpt-4-turbo", 10, 30),
    ],
)
def test_a_million_tokens_cost_the_list_price(model, input_usd, output_usd):
    price = BUILTIN_PRICES[model]
    assert cost_nanousd(Tokens(10**6, 0, 0, 0), price) == input_usd * 10**9
    assert cost_nanousd(Tokens(0, 0, 0, 10**6), price) == output_usd * 10**9


@given(token_counts, token_counts, token_counts, token_counts, unit_prices, unit_prices, unit_prices, unit_prices)
def test_cost_equals_exact_decimal_arithmetic_rounded_half_even_once(i, r, w, o, pi, pr, pw, po):
    exact = Decimal(i * pi + r * pr + w * pw + o * po) / 10**6
    expected = int(exact.quantize(Decimal(1), ROUND_HALF_EVEN))
    assert cost_nanousd(Tokens(i, r, w, o), Price("m", "v", pi, pr, pw, po)) == expected


@pytest.mark.parametrize(("units", "expected"), [(500_000, 0), (1_500_000, 2), (2_500_000, 2), (500_001, 1)])
def test_half_a_nano_dollar_rounds_to_even(units, expected):
    assert cost_nanousd(Tokens(1, 0, 0, 0), Price("m", "v", units, 0, 0, 0)) == expected


@given(token_counts, token_counts, *[st.integers(0, 10**12)] * 3, *[unit_prices] * 4)
def test_units_are_rounded_together_with_the_tokens_once(i, o, calls, cpu_ms, gb_ms, token, call, cpu, gb):
    price = Price(
        "m", "v", token, 0, 0, token, tool_call_nanousd=call, cpu_second_nanousd=cpu, gb_second_nanousd=gb
    )
    exact = Decimal((i + o) * token) / 10**6 + calls * call + Decimal(cpu_ms * cpu + gb_ms * gb) / 1000
    expected = int(exact.to_integral_value(ROUND_HALF_EVEN))
    assert cost_nanousd(Tokens(i, 0, 0, o), price, Units(calls, cpu_ms, gb_ms)) == expected


@pytest.mark.parametrize(("cached", "expected"), [(99, 1 * 100 + 10), (100, 2 * 101 + 20), (200, 3 * 201 + 30)])
def test_a_tier_is_the_price_of_every_token_of_a_call_whose_whole_input_is_above_it(cached, expected):
    million = 10**6
    rows = [(threshold, *[rate * million] * 3, 10 * rate * million) for threshold, rate in ((100, 2), (200, 3))]
    price = Price("m", "v", million, million, million, 10 * million, tiers=tuple(Tier(*row) for row in rows))
    assert cost_nanousd(Tokens(1, cached, 0, 1), price) == expected


# Published prices

PUBLISHED, NOW = published_prices(), 1_790_000_000_000_000


@pytest.mark.parametrize(
    ("name", "canonical", "version"),
    [
        ("gpt-4-turbo-2024-04-09", "gpt-4-turbo", "builtin-1/"),
        ("openai/gpt-4o-2024-08-06", "gpt-4o", "genai-prices-"),
        ("azure:gpt-4o", "gpt-4o", "genai-prices-"),
        ("openrouter/anthropic/claude-3-opus", "openrouter/anthropic/claude-3-opus", "genai-prices-"),
    ],
)
def test_names_of_a_model_lead_to_its_canonical_name_and_price(name, canonical, version):
    price = PUBLISHED.at(name, NOW)
    assert (price.model, PUBLISHED.canonical(name)) == (canonical, canonical)
    assert price.version.startswith(version)


@pytest.mark.parametrize("name", ["nobody-knows", "", "/", "openai/", "gpt-4-foo", "x" * 256, "anthropic/claude"])
def test_an_unknown_name_has_no_price_and_is_its_own_canonical_name(name):
    assert PUBLISHED.at(name, NOW) is None
    assert PUBLISHED.canonical(name) == name


def test_every_published_price_is_exact_or_left_out():
    bucket = {"input_nanousd_per_mtok": "input_mtok", "output_nanousd_per_mtok": "output_mtok"}
    models = {f"{provider.id}/{model.id}": model for provider in providers for model in provider.models}
    compared = 0
    for price in PUBLISHED.all_at(NOW):
        model = models.get(price.version.partition("/")[2])
        if model is None or isinstance(model.prices, list) or price.tiers:
            continue
        compared += 1
        assert [Decimal(getattr(price, name)) for name in bucket] == [
            getattr(model.prices, source) * 10**9 for source in bucket.values()
        ]
    assert compared > 1_000


def test_a_published_price_that_changed_is_the_one_of_its_time():
    dated = next(
        model for provider in providers for model in provider.models
        if isinstance(model.prices, list) and PUBLISHED.canonical(model.id) == model.id
        and all(hasattr(price.constraint, "start_date") for price in model.prices[1:])
        and PUBLISHED.at(model.id, NOW)
    )  # fmt: skip
    since = PUBLISHED.at(dated.id, NOW).effective_from_us
    assert since > 0
    assert PUBLISHED.at(dated.id, since).effective_from_us == since
    before = PUBLISHED.at(dated.id, since - 1)
    assert before is None or before.effective_from_us < since


# Amounts as text


@given(st.integers(0, 10**20))
def test_an_amount_survives_being_written_and_read(nanousd):
    assert nanousd_of(exact_usd_text(nanousd)) == nanousd


@pytest.mark.parametrize(
    ("amount", "says"),
    [
        *[(text, "no amount") for text in ("", "NaN", "inf", "1e3", "3 EUR", "$3", "1,5", ".5", "٣", "0x1")],
        ("-0.5", "negative"),
        ("0.0000000001", "nano-dollar"),
        (0.25, "not exact"),
        (True, "not exact"),
        (Decimal("NaN"), "no amount"),
        (Decimal("-1"), "negative"),
    ],
)
def test_what_is_no_exact_amount_is_refused_and_says_why(amount, says):
    with pytest.raises(InvalidInput, match=says):
        nanousd_of(amount)
