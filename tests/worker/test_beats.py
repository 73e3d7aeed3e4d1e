"""When a worker sends its heartbeats."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock_consumers.worker.worker import until_next_beat_s

NOW_S = st.floats(1.7e9, 2e9)


@given(NOW_S, st.sampled_from([0.2, 5.0, 60.0]))
def test_a_beat_comes_within_the_interval_at_a_moment_all_workers_share(now_s: float, heartbeat_s: float):
    wait_s = until_next_beat_s(now_s, heartbeat_s)
    assert 0.9 * heartbeat_s - 1e-6 <= wait_s <= heartbeat_s
    slots = (now_s + wait_s) / (heartbeat_s / 10)
    assert slots == pytest.approx(round(slots), abs=1e-3)
