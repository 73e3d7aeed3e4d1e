"""What `apply` adds and what `--prune` removes."""

from __future__ import annotations

from penstock_services.access.plan import plan
from penstock_services.access.rules import Rule

READS = Rule("User:loader", "topic", "events", "literal", "Read")
WRITES = Rule("User:worker", "topic", "events", "literal", "Write")


def test_what_the_cluster_lacks_is_missing_and_what_it_has_stays():
    change = plan([READS, WRITES], [READS])
    assert (change.missing, change.stale, change.unchanged) == ((WRITES,), (), 1)


def test_a_right_of_our_user_that_is_no_longer_derived_is_stale():
    before = Rule("User:loader", "topic", "elsewhere", "literal", "Write")
    assert plan([READS], [READS, before]).stale == (before,)


def test_a_strangers_right_to_our_topic_is_stale():
    hole = Rule("User:stranger", "topic", "events", "literal", "Write")
    assert plan([READS], [READS, hole]).stale == (hole,)


def test_what_others_may_do_elsewhere_is_theirs():
    theirs = Rule("User:stranger", "topic", "elsewhere", "literal", "Write")
    on_cluster = Rule("User:stranger", "cluster", "kafka-cluster", "literal", "Describe")
    ours = Rule("User:loader", "cluster", "kafka-cluster", "literal", "Describe")
    assert plan([READS, ours], [READS, ours, theirs, on_cluster]).stale == ()


def test_applying_a_plan_leaves_nothing_to_do():
    found = {WRITES, Rule("User:loader", "topic", "old", "literal", "Read")}
    first = plan([READS], found)
    assert plan([READS], (found | set(first.missing)) - set(first.stale)) == plan([READS], [READS])
