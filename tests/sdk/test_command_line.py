"""The command line against real servers, as a user runs it."""

from __future__ import annotations

import asyncio
import csv
import json
from typing import Any
from uuid import uuid4

import pytest

from penstock_schemas import records as r
from penstock_schemas.topics import ACCOUNTS_REQUESTS, TOPICS
from tests.sdk.command_line import Done, penstock
from tests.sdk.platform import NOWHERE, SCRIPTED_ONLY, Platform, until
from tests.sdk.script import Execution

pytestmark = pytest.mark.integration


async def test_run_prints_the_id_under_which_watch_and_get_find_it(platform: Platform):
    run = await penstock(platform, "run", "echo", "--input", "hello", "--tenant", "acme")
    assert (run.code, run.err) == (0, "")
    execution_id = run.out.strip()
    watched, got = await asyncio.gather(
        penstock(platform, "watch", execution_id), penstock(platform, "get", execution_id, "--json")
    )
    assert watched.code == 0
    lines = watched.out.splitlines()
    shown = [line.split()[1] for line in lines[:-1]]
    assert sorted(shown) == ["admitted", "completed", "progress", "progress", "started"]
    assert lines[-1] == "hello"
    assert got.json["execution_id"] == execution_id


async def test_follow_keeps_progress_and_output_apart(platform: Platform):
    run = await penstock(platform, "run", "echo", "--input", "-", "--follow", stdin="tä".encode())
    assert (run.code, run.out) == (0, "tä\n")
    assert "half way" in run.err
    assert "completed   after 1 attempt" in run.err
    assert "\x1b" not in run.err  # no terminal, no control sequences


async def test_follow_as_json_prints_one_object(platform: Platform):
    run = await penstock(platform, "run", "echo", "--input", "find me", "--follow", "--json")
    assert run.code == 0
    assert (run.json["status"], run.json["output"], run.json["attempts"]) == ("completed", "find me", 1)


@pytest.mark.parametrize("first", ["0", "-1", "x", "0:1", "1:0", "1:2:3", ":"])
async def test_watch_refuses_a_place_that_is_none(platform: Platform, first: str):
    refused = await penstock(platform, "watch", "any", f"--from={first}")
    assert refused.code == 2
    assert f"--from '{first}' is not SEQ or EPOCH:SEQ" in refused.err


async def test_watch_goes_on_from_the_progress_of_any_attempt_and_shows_gaps(platform: Platform):
    run = Execution(SCRIPTED_ONLY, str(uuid4()))
    first = [run.admitted(), run.started(), run.progress(1), run.progress(2), run.lost()]
    await platform.emit(*first, run.started(2), run.progress(1, epoch=2), run.progress(4, epoch=2))
    await platform.emit(run.completed(epoch=2, last_seq=4))
    watched = await penstock(platform, "watch", run.id, "--from", "2:2", "--json")
    shown = [json.loads(line) for line in watched.out.splitlines()]
    progress = [(x["record_type"], x.get("seq")) for x in shown if x["record_type"].startswith("Progress")]
    assert progress == [("ProgressGap", None), ("ProgressReported", 4)]
    assert [x["record_type"] for x in shown].count("AttemptStarted") == 2


async def test_watch_as_json_prints_a_line_per_record_and_skips_what_is_not_wanted(platform: Platform):
    run = (await penstock(platform, "run", "echo", "--input", "x", "--json")).json
    watched = await penstock(platform, "watch", run["execution_id"], "--from", "2", "--json")
    records = [json.loads(line) for line in watched.out.splitlines()]
    assert {record["record_type"] for record in records} == {
        "ExecutionAdmitted",
        "AttemptStarted",
        "ProgressReported",
        "ExecutionCompleted",
    }
    assert [record["seq"] for record in records if record["record_type"] == "ProgressReported"] == [2]


async def test_a_failed_run_exits_1_and_a_rejected_one_3_with_the_reason(platform: Platform):
    failed = await penstock(platform, "run", "broken", "--input", "x", "--follow")
    assert (failed.code, failed.out) == (1, "")
    assert "ValueError: it broke" in failed.err.splitlines()[-1]
    rejected = await penstock(
        platform, "run", "echo", "--input", "x", "--tenant", "suspended", "--follow", "--json"
    )
    assert rejected.code == 3
    assert rejected.json["reason"] == "tenant_suspended"
    assert rejected.err.splitlines()[-1].startswith("penstock: tenant_suspended")


async def test_the_same_request_id_runs_once(platform: Platform):
    request = ("run", "echo", "--input", "once", "--request-id", str(uuid4()), "--follow")
    for _ in range(2):
        done = await penstock(platform, *request)
        assert (done.code, done.out) == (0, "once\n")
        assert done.err.count("completed") == 1


async def test_text_that_would_steer_a_terminal_is_disarmed_in_progress(platform: Platform):
    run = Execution("by-hand", str(uuid4()))
    await platform.emit(
        run.admitted(), run.progress(1, message="\x1b]0;owned\x07[red]"), run.completed(last_seq=1)
    )
    watched = await penstock(platform, "watch", run.id)
    assert "\x1b" not in watched.out
    assert "�]0;owned�[red]" in watched.out


async def test_tenants_are_set_shown_and_listed(platform: Platform):
    tenant = f"t{uuid4().hex[:8]}"
    done = await penstock(platform, "tenants", "set", tenant, "--tier", "pro", "--concurrency", "3", "--json")
    assert (done.code, done.json["concurrency"]) == (0, 3)

    async def shown() -> Done | None:
        done = await penstock(platform, "tenants", "show", tenant)
        return done if done.code == 0 else None

    assert "pro" in (await until(shown)).out
    assert tenant in [t["tenant_id"] for t in (await penstock(platform, "tenants", "list", "--json")).json]
    unknown = await penstock(platform, "tenants", "show", "nobody")
    assert unknown.code == 1
    assert "'nobody' is not configured" in unknown.err


async def test_a_bill_is_a_table_in_dollars_and_json_in_nano_dollars(platform: Platform):
    tenant = f"t{uuid4().hex[:8]}"
    async with platform.client() as client:
        for model in ("gpt-4", "unpriced"):
            await client.record_usage(
                tenant=tenant, usage_id=f"{tenant}{model}", model=model, input_tokens=1, output_tokens=1000
            )
        await until(lambda: _billed(client, tenant))
    bill = await penstock(platform, "bill", tenant, "--month", "2026-11")
    assert "1.234567" in bill.out
    assert "1 more calls are on no bill yet: unknown_model 1." in bill.out
    exact = (await penstock(platform, "bill", tenant, "--month", "2026-11", "--json")).json
    assert exact["total"]["cost_nanousd"] == exact["by"]["model"][0]["cost_nanousd"] == 1_234_567_000
    table = await penstock(platform, "bill", tenant, "--from", "2000-01-01", "--to", "2100-01-01T00:00Z", "--csv")
    rows = list(csv.DictReader(table.out.splitlines()))
    assert [row["cost_nanousd"] for row in rows if row["by"] in ("total", "model")] == ["1234567000"] * 2


async def _billed(client: Any, tenant: str) -> bool:
    bill = await client.bill(tenant, "2026-11")
    return bool(bill.total.calls and bill.quarantined_calls)


async def test_list_shows_a_row_per_execution(platform: Platform):
    tenant = f"t{uuid4().hex[:8]}"
    await penstock(platform, "run", "echo", "--input", "x", "--tenant", tenant, "--follow")

    async def listed() -> list[Any]:
        done = await penstock(platform, "list", "--tenant", tenant, "--status", "completed", "--json")
        return list(done.json)

    (row,) = await until(listed)
    assert row["output"] == "x"
    assert row["execution_id"] in (await penstock(platform, "list", "--tenant", tenant)).out


async def test_dead_letters_are_listed_shown_and_replayed(platform: Platform):
    whole, cut = (
        r.DeadLetter(
            event_id=str(uuid4()),
            tenant_id="_penstock",
            source_topic=ACCOUNTS_REQUESTS.name,
            source_partition=1,
            source_offset=7,
            source_timestamp=1,
            value=b"\x07\xffbytes",
            value_size=size,
            error_code="bad_framing",
            error_message="no magic byte",
            stage="accounts",
        )
        for size in (7, 70_000)
    )
    await platform.emit(whole, cut)

    async def loaded() -> bool:
        return whole.event_id in (await penstock(platform, "dlq", "list")).out

    await until(loaded)
    shown = await penstock(platform, "dlq", "show", whole.event_id)
    assert f"{ACCOUNTS_REQUESTS.name}/1/7" in shown.out
    assert "bad_framing: no magic byte" in shown.out
    replayed = await penstock(platform, "dlq", "replay", whole.event_id)
    assert (replayed.code, "partition 1" in replayed.out) == (0, True)
    refused = await penstock(platform, "dlq", "replay", cut.event_id)
    assert refused.code == 2
    assert "holds 7 of 70000 bytes" in refused.err


async def test_schemas_are_registered_again_and_pass_their_check(platform: Platform):
    registered = await penstock(platform, "schemas", "register")
    assert f"{sum(len(t.records) for t in TOPICS.values())} subjects" in registered.out
    checked = await penstock(platform, "schemas", "check")
    assert checked.code == 0, checked.out
    assert "release 0.1, the registry" in checked.out


@pytest.mark.parametrize(
    ("arguments", "env"),
    [
        (("run", "echo", "--input", "x"), {"PENSTOCK_KAFKA_BOOTSTRAP_SERVERS": NOWHERE}),
        (("run", "echo", "--input", "x"), {"PENSTOCK_REGISTRY_URL": f"http://{NOWHERE}"}),
        (("bill", "acme"), {"PENSTOCK_CLICKHOUSE_PORT": "1"}),
        (("schemas", "check"), {"PENSTOCK_REGISTRY_URL": f"http://{NOWHERE}"}),
        (("schemas", "register"), {"PENSTOCK_REGISTRY_URL": f"http://{NOWHERE}"}),
    ],
)
async def test_a_server_that_is_not_there_is_exit_code_4_and_one_message(
    platform: Platform, arguments: tuple[str, ...], env: dict[str, str]
):
    done = await penstock(platform, *arguments, **env)
    assert done.code == 4
    assert NOWHERE in done.err
    assert next(iter(env)).removesuffix("PORT") in done.err
    assert len(done.err.splitlines()) == 1
