"""`penstock acl print`, and what it refuses."""

from __future__ import annotations

import json
import shlex

import pytest

from penstock_services.access.commands import derived
from tests.cli.test_usage import penstock


def test_printed_as_json_there_is_one_object_a_rule():
    printed = json.loads(penstock("acl", "print", "--json").stdout)
    assert len(printed) == len(derived())
    assert {
        "principal": "User:penstock-worker",
        "resource": "topic",
        "name": "penstock.executions.leases.v1",
        "pattern": "literal",
        "operation": "Read",
        "host": "*",
        "permission": "Allow",
    } in printed


def test_printed_as_shell_lines_every_rule_is_there_and_names_are_quoted():
    lines = penstock(
        "acl", "print", "--shell", PENSTOCK_ACL_WORKER="User:CN=worker one,O=$(x)"
    ).stdout.splitlines()
    words = [shlex.split(line) for line in lines]
    assert all(line[0] == "kafka-acls.sh" and "--add" in line for line in words)
    assert sum(line.count("--operation") for line in words) == len(derived())
    assert any("User:CN=worker one,O=$(x)" in line for line in words)


def test_the_table_shows_a_role_alone():
    printed = penstock("acl", "print", "--role", "loader", COLUMNS="160").stdout
    assert "User:penstock-loader" in printed
    assert "User:penstock-worker" not in printed


def test_several_users_may_have_one_role():
    printed = json.loads(penstock("acl", "print", "--json", PENSTOCK_ACL_UPSTREAM="User:shop; User:crm").stdout)
    assert {"User:shop", "User:crm"} <= {rule["principal"] for rule in printed}
    assert "User:penstock-upstream" not in {rule["principal"] for rule in printed}


def test_the_streams_app_id_names_its_changelogs():
    printed = penstock("acl", "print", "--json", PENSTOCK_STREAMS_APP_ID="blue").stdout
    assert '"blue-accounts-changelog"' in printed


@pytest.mark.parametrize("value", ["worker", "User:", "User:*", "Group:x"])
def test_what_is_no_single_kafka_user_is_refused_by_the_name_of_its_setting(value: str):
    done = penstock("acl", "print", PENSTOCK_ACL_WORKER=value)
    assert done.returncode == 2
    assert "PENSTOCK_ACL_WORKER" in done.stderr
    assert "User:NAME" in done.stderr


def test_an_unknown_role_is_refused_with_the_known_ones():
    done = penstock("acl", "print", "--role", "loadr")
    assert done.returncode == 2
    assert "the roles are upstream, follower, streams, worker, loader, operator" in done.stderr


def test_pruning_a_part_is_refused():
    assert penstock("acl", "apply", "--role", "loader", "--prune").returncode == 2
