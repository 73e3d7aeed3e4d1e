"""Who holds an execution, as far as a reader can know."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import pytest

from penstock.client import Client
from penstock.errors import NotFound
from penstock.leasing import Attempt, Sign, lease_end_ms, newest_attempt
from penstock_schemas import records as r
from penstock_schemas.topics import EXECUTIONS_COMMANDS, EXECUTIONS_LEASES
from tests.sdk.platform import SCRIPTED_ONLY, Platform
from tests.sdk.script import Execution, stamped
from tests.sdk.test_command_line import penstock

RUN = Execution("acme", "one")
WORKER = "host:1:a"
"""Who `Execution.started` says."""


def granted(run: Execution = RUN, epoch: int = 1, hold_ms: int = 30_000) -> r.LeaseGranted:
    about = {"tenant_id": "acme", "execution_id": run.id, "epoch": epoch, "worker_id": WORKER}
    return r.LeaseGranted(**about, claim_id="c", hold_ms=hold_ms, deadline_at=0)


def revoked(epoch: int = 1) -> r.LeaseRevoked:
    about = {"tenant_id": "acme", "execution_id": RUN.id, "epoch": epoch, "worker_id": WORKER}
    return r.LeaseRevoked(**about, reason="timed_out")


def confirmed(partition: int = 2, hold_ms: int = 30_000) -> r.LeaseConfirmed:
    said = {"worker_id": WORKER, "partition": partition, "heartbeat_seq": 1, "hold_ms": hold_ms}
    return r.LeaseConfirmed(tenant_id="_penstock", **said)


def end(*said: tuple[int, r.Record]) -> int | None:
    return lease_end_ms([Sign(record, at_ms) for at_ms, record in said], RUN.id, 1, partition=2)


def test_a_lease_ends_one_hold_after_the_newest_sign_of_life():
    assert end((1_000, granted(hold_ms=5_000))) == 6_000
    assert end((1_000, granted()), (3_000, confirmed()), (8_000, confirmed())) == 38_000
    assert end((8_000, confirmed())) == 38_000  # the grant may be older than what was looked at


def test_what_was_said_of_other_leases_does_not_renew_it():
    other = Execution("acme", "two")
    assert end((1_000, granted()), (2_000, granted(other)), (3_000, confirmed(partition=1))) == 31_000
    assert end((2_000, granted(epoch=2))) is None
    assert end((1_000, granted()), (2_000, confirmed(hold_ms=0))) == 31_000  # does not say how long


def test_a_revoked_lease_is_over():
    assert end((1_000, granted()), (2_000, revoked()), (3_000, confirmed())) is None
    assert end((1_000, granted()), (2_000, revoked(epoch=2))) == 31_000


def test_the_newest_attempt_holds_until_it_is_over():
    assert newest_attempt([RUN.admitted()]) == Attempt()
    assert newest_attempt([RUN.admitted(), RUN.started(1)]).worker_id == WORKER
    assert newest_attempt([RUN.started(1), RUN.lost(1)]) == Attempt(1)
    assert newest_attempt([RUN.started(1), RUN.lost(1), RUN.started(2)]).epoch == 2
    assert newest_attempt([RUN.started(1), RUN.completed()]) == Attempt(1)


async def said(platform: Platform, record: r.Record) -> None:
    value = await platform.encoding.encode(EXECUTIONS_LEASES, stamped(record))
    await platform.emit_raw(EXECUTIONS_LEASES, WORKER, value)


@pytest.mark.integration
async def test_holder_epoch_and_end_are_shown_while_it_runs_and_not_after(platform: Platform, client: Client):
    run = Execution(SCRIPTED_ONLY, str(uuid4()))
    await platform.emit(run.admitted())
    assert (await client.lease(run.id)).worker_id is None
    await platform.emit(run.started(2))
    silent = await client.lease(run.id)
    assert (silent.worker_id, silent.epoch, silent.until, silent.is_locked) == (WORKER, 2, None, False)

    await said(platform, granted(run, epoch=2, hold_ms=20_000))
    first = await client.lease(run.id)
    assert (first.worker_id, first.epoch, first.is_locked) == (WORKER, 2, True)
    assert first.until is not None
    assert timedelta() < first.until - first.as_of < timedelta(seconds=21)

    commands = await platform.connection.partition_of(EXECUTIONS_COMMANDS, run.id)
    await said(platform, confirmed(commands.partition, hold_ms=90_000))
    renewed = await client.lease(run.id)
    assert renewed.until is not None
    assert renewed.until - first.until > timedelta(seconds=60)
    shown = await penstock(platform, "get", run.id)
    assert f"{WORKER} (attempt 2) until " in shown.out
    assert (await penstock(platform, "get", run.id, "--json")).json["lease"]["is_locked"] is True

    await platform.emit(run.completed(epoch=2))
    after = await client.lease(run.id)
    assert (after.is_locked, after.worker_id, after.epoch, after.until) == (False, None, 2, None)


@pytest.mark.integration
async def test_a_holder_that_was_not_heard_of_for_a_hold_no_longer_locks(platform: Platform, client: Client):
    run = Execution(SCRIPTED_ONLY, str(uuid4()))
    await platform.emit(run.admitted(), run.started(3))
    await said(platform, granted(run, epoch=3, hold_ms=0))
    lapsed = await client.lease(run.id)
    assert (lapsed.worker_id, lapsed.epoch, lapsed.is_locked) == (WORKER, 3, False)
    assert lapsed.until is not None


@pytest.mark.integration
async def test_the_lease_of_an_unknown_execution_is_said_to_be_unknown(client: Client):
    with pytest.raises(NotFound):
        await client.lease("nonsense")
