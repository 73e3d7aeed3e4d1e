"""Months by the day they are remembered under, as the calendar has them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from penstock_streams.timing import DAY_US, month_start_us, period_of

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MOMENTS = st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))


@given(MOMENTS)
def test_an_instant_is_of_its_month_to_the_microsecond(moment):
    at_us = (moment - EPOCH) // timedelta(microseconds=1)
    assert period_of(at_us) == f"{moment:%Y-%m}"
    start = month_start_us(at_us)
    assert start <= at_us < month_start_us(at_us, 1)
    assert period_of(start) == period_of(at_us) > period_of(start - 1)


@given(MOMENTS, st.integers(-30, 30))
def test_months_are_counted_over_the_turn_of_years(moment, months):
    at_us = (moment + timedelta(days=1_000) - EPOCH) // timedelta(microseconds=1)
    start = EPOCH + timedelta(microseconds=month_start_us(at_us, months))
    here = moment + timedelta(days=1_000)
    assert (start.day, start.hour) == (1, 0)
    assert (start.year * 12 + start.month) - (here.year * 12 + here.month) == months
    assert month_start_us(at_us, months) % DAY_US == 0
