"""The audit of budgets finds every kind of leak, by name, and none where the sums agree."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import pytest

from penstock_schemas import records as r
from penstock_services.audit.reservations import Leak, Spending, compare, confirmed
from penstock_services.audit.rows import Kept
from penstock_streams.accounts import model as m
from penstock_streams.accounts.budget import Amount
from penstock_streams.kit import Row
from penstock_streams.kit.rows import encode, row_key
from penstock_streams.timing import DAY_US, month_start_us
from tests.streams.accounts.budget_audit import kept_by, leaks, spending_of
from tests.streams.accounts.test_budgets import (
    accounts,
    execution,
    outside,
    request,
    settle,
    start_call,
    usage,
)
from tests.streams.accounts.test_prices import listing, price
from tests.streams.partition import NOW, Partition

SEPTEMBER, OCTOBER = "2026-09", "2026-10"


def busy() -> Partition:
    """An open reservation, an unresolved call, a user with a budget since mid-month, usage from outside."""
    partition = accounts(monthly_tokens=100_000)
    partition.send(request("open", tokens=1_000, user_id="ann"))
    partition.send(usage("open", tokens=100, user_id="ann"))
    partition.send(r.ConfigureUser(tenant_id="acme", user_id="ann", monthly_tokens=5_000))
    partition.send(request("ended", tokens=2_000, user_id="ann"))
    partition.send(start_call("ended", cap=300))
    partition.send(settle("ended"))
    partition.send(outside("late", 40, user_id="ann"))
    return partition


def changed(partition: Partition, key: str, **fields: Any) -> Partition:
    partition.rows[key] = msgspec.structs.replace(partition.rows[key], **fields)
    return partition


def leak(of: str, unit: str, expected: int, found: int | None, user: str | None = None) -> Leak:
    return Leak("acme", user, of, unit, expected, found, SEPTEMBER if of == "spent" else None)  # type: ignore[arg-type]


def test_books_that_agree_show_nothing():
    partition = busy()
    kept = kept_by(partition)
    held = compare(kept, spending_of(partition, kept))
    assert (held.budgets, held.reservations, held.charges, held.leaks) == (2, 2, 2, [])


TENANT, ANN = m.budget_key("acme"), m.budget_key("acme", "ann")


def test_a_reservation_that_nobody_gave_back_is_found_in_each_of_its_budgets():
    partition = busy()
    tenant = partition.rows[TENANT]
    del partition.rows[m.reservation_key(execution("open"))]
    found = tenant.reserved
    assert leaks(partition) == [
        leak("reserved", "tokens", found.tokens - 900, found.tokens),
        leak("reserved", "nanousd", found.nanousd - 1_000 * 1_250 + 25_000, found.nanousd),
    ]


def test_an_unresolved_call_that_was_lost_is_found():
    partition = busy()
    (key,) = [key for key, row in partition.rows.items() if isinstance(row, m.Unresolved)]
    del partition.rows[key]
    assert {(each.user_id, each.sum, each.unit) for each in leaks(partition)} == {
        (user, "reserved", unit) for user in (None, "ann") for unit in ("tokens", "nanousd")
    }


def test_a_charge_that_no_budget_counted_is_found():
    partition = busy()
    tenant = partition.rows[TENANT]
    changed(partition, TENANT, spent=tenant.spent - Amount(40, 0))
    assert leaks(partition) == [leak("spent", "tokens", 140, 100)]


def test_dollars_are_compared_to_the_nano_dollar():
    partition = busy()
    spent = partition.rows[ANN].spent
    changed(partition, ANN, spent=spent + Amount(0, 1))
    assert leaks(partition) == [leak("spent", "nanousd", spent.nanousd, spent.nanousd + 1, "ann")]


def test_what_a_user_spent_before_the_budget_was_set_must_not_be_on_it():
    partition = busy()
    changed(partition, ANN, spent=Amount(140, 35_000))
    assert [each.expected for each in leaks(partition)] == [40, 10_000]


def test_a_budget_that_is_gone_is_found():
    partition = busy()
    del partition.rows[TENANT]
    assert [(each.sum, each.unit, each.found) for each in leaks(partition)] == [
        (of, unit, None) for of in ("reserved", "spent") for unit in ("tokens", "nanousd")
    ]


def test_a_month_the_budget_did_not_move_on_to_is_found():
    partition = busy()
    before = partition.rows[TENANT]
    partition.now = month_start_us(NOW, 1) + DAY_US
    partition.send(outside("october", 7))
    assert leaks(partition) == []
    changed(partition, TENANT, period=before.period, spent=before.spent)
    assert leaks(partition)[0] == replace(leak("spent", "tokens", 7, 0), period=OCTOBER)


def test_charges_written_after_the_rows_were_read_do_not_count():
    partition = busy()
    kept = kept_by(partition)
    partition.send(outside("since", 1_000))
    assert compare(kept, spending_of(partition, kept)).leaks == []
    kept.read_to["in", 0] += 1  # control
    assert compare(kept, spending_of(partition, kept)).leaks != []


def test_usage_that_waits_for_a_price_counts_once_its_row_is_gone():
    partition = accounts(monthly_tokens=1_000)
    partition.send(outside("waits", 9, model="my-own-llm"))
    waiting = kept_by(partition)
    partition.send(listing(price("my-own-llm")))
    partition.advance(0)
    assert partition.rows[TENANT].spent.tokens == 9
    assert leaks(partition) == []
    assert compare(waiting, spending_of(partition, waiting)).leaks == []


def test_a_month_that_retention_cut_is_counted_and_not_compared():
    partition = busy()
    kept = kept_by(partition)
    spending = Spending(kept)  # the events are gone
    outcome = compare(kept, spending, cut_in=SEPTEMBER)
    assert (outcome.unchecked, outcome.leaks) == (2, [])
    assert compare(kept, spending).leaks != []  # control


def test_a_user_first_configured_before_what_is_kept_has_all_of_the_month():
    partition = busy()
    partition.written = [record for record in partition.written if not isinstance(record, r.UserConfigured)]
    partition.rows[ANN] = msgspec.structs.replace(partition.rows[ANN], spent=Amount(140, 35_000))
    kept = kept_by(partition)
    assert compare(kept, spending_of(partition, kept), cut_in="2026-08").leaks == []
    assert compare(kept, spending_of(partition, kept)).leaks != []  # control


def test_a_second_look_confirms_what_is_off_by_as_much_though_the_budget_moved_on():
    first = [leak("reserved", "tokens", 10, 15), leak("spent", "tokens", 3, 4)]
    second = [leak("reserved", "tokens", 110, 115), leak("spent", "tokens", 30, 32)]
    assert confirmed(first, second) == second[:1]


@pytest.mark.parametrize("row_type", m.ROW_TYPES)
def test_every_kind_of_row_is_read_or_of_no_concern(row_type: type[Row]):
    """A new kind of row must be looked at here: it may hold a budget's money."""
    known = {m.Budget, m.Reservation, m.Pool, m.Unresolved, m.UnpricedCall}
    of_no_concern = {m.Tenant, m.Answer, m.Waiting, m.Counted, m.Prices, m.Unpriced, m.Closed}
    assert row_type in known | of_no_concern


def test_a_row_of_another_version_is_refused():
    with pytest.raises(msgspec.ValidationError):
        Kept().apply(0, row_key(TENANT), encode(m.Unpriced()))


def test_a_tenants_id_in_a_slash_users_name_is_not_mixed_up():
    partition = accounts(monthly_tokens=1_000)
    partition.send(r.ConfigureUser(tenant_id="acme", user_id="a/b", monthly_tokens=50))
    partition.send(outside("slash", 9, user_id="a/b"))
    assert leaks(partition) == []
    changed(partition, m.budget_key("acme", "a/b"), spent=Amount(9, 0))
    assert [each.user_id for each in leaks(partition)] == ["a/b"]


def test_a_correction_counts_its_difference():
    partition = accounts(monthly_tokens=1_000)
    report = outside("u1", 100)
    partition.send(report)
    fields = report.model_dump(exclude={"event_id", "occurred_at"}) | {"input_tokens": 40}
    partition.send(r.CorrectUsage(event_id="fix", reason="misread", **fields))
    assert partition.rows[TENANT].spent.tokens == 40
    assert leaks(partition) == []
    changed(partition, TENANT, spent=Amount(100, 25_000))
    assert [each.expected for each in leaks(partition)] == [40, 10_000]
