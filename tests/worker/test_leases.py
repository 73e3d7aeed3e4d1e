"""Deadlines of leases: pure arithmetic, as a table of stories."""

import pytest

from penstock_consumers.worker.leases import Beat, LeaseKey, LeaseTable

A, B = LeaseKey("a", 1), LeaseKey("b", 1)
HOLD_S, MARGIN_S = 30.0, 3.0


@pytest.fixture
def table() -> LeaseTable:
    return LeaseTable(MARGIN_S)


def test_a_lease_counts_from_its_claim_less_the_margin(table):
    assert table.grant(A, 0, HOLD_S, claim_sent_s=100) == 127
    assert table.expired(126.9) == []
    assert table.expired(127) == [A]


def test_a_confirmed_heartbeat_extends_from_when_it_was_sent_not_from_when_it_was_confirmed(table):
    table.grant(A, 0, HOLD_S, claim_sent_s=100)
    assert table.beat(105) == [Beat(0, 1, [A])]
    assert table.confirm(0, 1) == {A: 132}
    assert table.deadline_s(A) == 132


def test_an_unconfirmed_heartbeat_extends_nothing(table):
    table.grant(A, 0, HOLD_S, claim_sent_s=100)
    table.beat(105)
    assert table.deadline_s(A) == 127


def test_a_heartbeat_extends_only_the_leases_it_listed(table):
    table.grant(A, 0, HOLD_S, claim_sent_s=100)
    table.beat(105)
    table.grant(B, 0, HOLD_S, claim_sent_s=106)
    assert table.confirm(0, 1) == {A: 132}
    assert table.deadline_s(B) == 133


def test_each_partition_gets_a_heartbeat_of_its_own(table):
    table.grant(A, 0, HOLD_S, claim_sent_s=100)
    table.grant(B, 2, HOLD_S, claim_sent_s=100)
    assert table.beat(105) == [Beat(0, 1, [A]), Beat(2, 2, [B])]
    assert table.confirm(2, 2) == {B: 132}
    assert table.deadline_s(A) == 127


@pytest.mark.parametrize(("partition", "seq"), [(0, 99), (7, 1)])
def test_a_confirmation_of_a_heartbeat_never_sent_extends_nothing(table, partition, seq):
    table.grant(A, 0, HOLD_S, claim_sent_s=100)
    table.beat(105)
    assert table.confirm(partition, seq) == {}


def test_a_late_confirmation_of_an_older_heartbeat_shortens_nothing(table):
    table.grant(A, 0, HOLD_S, claim_sent_s=100)
    table.beat(105)
    table.beat(110)
    assert table.confirm(0, 2) == {A: 137}
    assert table.confirm(0, 1) == {}
    assert table.deadline_s(A) == 137


def test_a_released_lease_is_neither_listed_nor_extended_nor_expired(table):
    table.grant(A, 0, HOLD_S, claim_sent_s=100)
    table.beat(105)
    table.release(A)
    assert table.confirm(0, 1) == {}
    assert table.beat(110) == []
    assert table.expired(1_000) == []
    assert table.deadline_s(A) is None


def test_heartbeats_of_an_emptied_partition_are_forgotten(table):
    table.grant(A, 0, HOLD_S, claim_sent_s=100)
    table.beat(105)
    table.release(A)
    table.beat(110)
    table.grant(A, 0, HOLD_S, claim_sent_s=120)
    assert table.confirm(0, 1) == {}


def test_a_confirmation_with_another_hold_counts_with_that_one_from_then_on(table):
    table.grant(A, 0, HOLD_S, claim_sent_s=100)
    table.beat(105)
    assert table.confirm(0, 1, hold_s=300) == {A: 402}
    table.beat(110)
    assert table.confirm(0, 2, hold_s=10) == {A: 117}  # the authority's is shorter now: so is ours
    table.beat(115)
    assert table.confirm(0, 3) == {A: 122}
