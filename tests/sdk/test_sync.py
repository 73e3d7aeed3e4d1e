"""The synchronous client is the asynchronous one, from code without an event loop."""

from __future__ import annotations

import asyncio
import threading
from datetime import UTC, datetime, timedelta

import pytest

from penstock import SyncClient
from penstock.errors import ExecutionFailedError, InvalidInput, NotFound
from penstock_schemas import records as r
from tests.sdk.platform import Platform

pytestmark = pytest.mark.integration


async def test_every_step_of_a_run_works_without_a_loop(platform: Platform):
    def whole_run() -> None:
        settings = {"kafka": platform.kafka, "registry": platform.registry, "clickhouse": platform.clickhouse}
        with SyncClient(**settings) as client:
            run = client.submit("echo", "in sync", tenant="sync")
            follow = client.follow(run.execution_id)
            kinds = [type(record) for record in follow]
            assert list(client.follow(run.execution_id, from_cursor=follow.cursor)) == []  # nothing came after
            assert not client.lease(run.execution_id).is_locked
            assert kinds.count(r.ProgressReported) == 2
            assert client.result(run.execution_id) == "in sync"
            assert client.get(run.execution_id).status == "completed"
            assert client.bill("sync").total.calls == 0
            now = datetime.now(UTC)
            assert client.spend("sync", now - timedelta(days=1), now, user="ann").total.calls == 0
            with pytest.raises(ExecutionFailedError):
                client.result(client.submit("broken", "x", tenant="sync").execution_id)
            with pytest.raises(InvalidInput):
                client.submit("echo", "x", tenant="a/b")
            with pytest.raises(NotFound):
                client.get("nonsense")
            abandoned = client.follow(client.submit("echo", "x", tenant="by-hand", request_id=None).execution_id)
            abandoned.close()  # a follower that is given up leaves nothing running

    await asyncio.to_thread(whole_run)
    assert not [thread for thread in threading.enumerate() if thread.name == "penstock-client"]


async def test_a_setting_that_cannot_be_used_leaves_no_thread(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PENSTOCK_CLICKHOUSE_PORT", "eighty")

    def enter() -> None:
        with SyncClient():
            pass

    with pytest.raises(InvalidInput, match="PENSTOCK_CLICKHOUSE_PORT 'eighty'"):
        await asyncio.to_thread(enter)
    assert not [thread for thread in threading.enumerate() if thread.name == "penstock-client"]
