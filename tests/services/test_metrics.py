"""Label values that tenants choose are bounded; label sets are looked up once."""

from __future__ import annotations

from uuid import uuid4

from prometheus_client import CollectorRegistry, Counter

from penstock_services.metrics import MOST_LABEL_VALUES, OTHER, BoundedValues, Children


def test_the_first_values_are_kept_and_all_further_ones_count_as_other() -> None:
    bounded = BoundedValues()
    first = [f"agent-{number}" for number in range(MOST_LABEL_VALUES)]
    assert [bounded(name) for name in first] == first
    assert {bounded(f"late-{uuid4()}") for _ in range(1_000)} == {OTHER}
    assert [bounded(name) for name in first] == first


def test_a_value_no_label_should_have_is_other_and_takes_no_room() -> None:
    bounded = BoundedValues(most=1)
    values = ["x" * 65, "line\nbreak", "x" * 64, "y"]
    assert [bounded(value) for value in values] == [OTHER, OTHER, "x" * 64, OTHER]


def test_a_child_is_the_same_each_time_and_the_metrics_own() -> None:
    counter = Counter("tests_children", "", ["a", "b"], registry=CollectorRegistry())
    children = Children(counter)
    children("1", "2").inc()
    assert children("1", "2") is children("1", "2") is counter.labels("1", "2")
