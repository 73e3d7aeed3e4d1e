"""Money: one formula, integers only, checked against decimal arithmetic."""

from decimal import ROUND_HALF_EVEN, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock_services.pricing import BUILTIN_PRICES, Price, Tokens, cost_nanousd

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
