"""Derived ids never change: callers in other languages compute them, and old records carry them."""

from __future__ import annotations

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from penstock_schemas.ids import derived_id, execution_id, usage_id

PARTS = st.lists(st.text(st.characters(codec="utf-8")) | st.integers(), max_size=5)


def test_known_ids_stay_what_they_were():
    assert execution_id("acme", "order-4711") == "6c302b9b-0040-8ae1-a8c6-ccefdb4bed97"
    assert usage_id("acme", "e", 1, 2) == "978b2533-d9e5-8c55-a8bc-b6d2555c474d"
    assert derived_id("a", -5, "") == "fbc215e8-0ab8-88c4-8ff6-b7f2920c11e2"


@given(PARTS)
def test_every_id_is_a_uuid_of_version_8(parts: list[str | int]):
    parsed = UUID(derived_id(*parts))
    assert (parsed.version, parsed.variant) == (8, "specified in RFC 4122")


def test_where_parts_are_cut_matters():
    assert derived_id("ab", "c") != derived_id("a", "bc")
