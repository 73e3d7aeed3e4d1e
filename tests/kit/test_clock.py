"""The brokers' time, learned from what they stamp."""

from __future__ import annotations

import time

import pytest

from penstock_streams.kit.clock import STAMP_US, BrokerClock, boottime_us

HOUR_US = 3_600_000_000


def stamp(clock: BrokerClock, *, broker_ahead_us: int, took_us: int = 0) -> None:
    """As a broker whose clock is that far from CLOCK_BOOTTIME does, halfway between sending and answer."""
    sent_us = boottime_us()
    at_us = sent_us + broker_ahead_us + took_us // 2
    clock.stamped(at_us - at_us % STAMP_US, sent_us, sent_us + took_us)


def ahead_us(clock: BrokerClock) -> int:
    return clock() - boottime_us()


def test_before_a_broker_says_otherwise_it_is_the_wall_clock() -> None:
    clock = BrokerClock()
    before = time.time_ns() // 1000
    assert before <= clock() <= time.time_ns() // 1000
    assert not clock.is_set


def test_a_stamp_sets_it_whatever_the_wall_clock_says(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = BrokerClock()
    monkeypatch.setattr(time, "time_ns", lambda: 0)
    stamp(clock, broker_ahead_us=HOUR_US)
    assert clock.is_set
    assert ahead_us(clock) == pytest.approx(HOUR_US, abs=100_000)


def test_a_slow_acknowledgement_does_not_move_it() -> None:
    clock = BrokerClock()
    clock.stamped(HOUR_US, 0, 0)
    clock.stamped(HOUR_US + 40_000_000, 20_000_000, 50_000_000)
    clock.stamped(HOUR_US, 0, 0)
    assert ahead_us(clock) == pytest.approx(HOUR_US, abs=100_000)


def test_a_stamp_that_proves_it_wrong_moves_it_as_far_as_that() -> None:
    clock = BrokerClock()
    clock.stamped(HOUR_US, 0, 0)
    clock.stamped(2 * HOUR_US, 0, 5_000)
    assert ahead_us(clock) == pytest.approx(2 * HOUR_US, abs=100_000)
    clock.stamped(HOUR_US, 0, 5_000)
    assert ahead_us(clock) == pytest.approx(HOUR_US, abs=100_000)
