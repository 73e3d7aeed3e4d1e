"""Attempts: a worker never runs one attempt twice, whatever hints and grants are still on their way."""

import asyncio

import pytest

from penstock_consumers.worker.attempts import Attempts
from penstock_consumers.worker.claims import Claims
from penstock_consumers.worker.leases import LeaseTable
from penstock_consumers.worker.pool import SlotPool
from penstock_consumers.worker.provision import Provision
from penstock_consumers.worker.settings import WorkerSettings
from penstock_schemas import records as r
from penstock_services.sandbox.settings import SandboxSettings
from tests.worker.lease_authority import lease, until

NO_SANDBOX = Provision(WorkerSettings(tiers=()), SandboxSettings())
DISPATCH = r.ExecutionDispatched(
    tenant_id="acme", execution_id="e-1", request_id="q", agent_type="a", timeout_s=1, epoch=1, dispatch_seq=1
)


class Acknowledging:
    """An outbox whose records are safe at once, and kept."""

    def __init__(self) -> None:
        self.sent: list[r.Record] = []

    async def send(self, topic: object, record: r.Record, trace: object = None) -> asyncio.Future[None]:
        self.sent.append(record)
        acknowledged = asyncio.get_running_loop().create_future()
        acknowledged.set_result(None)
        return acknowledged

    def partition_of(self, topic: object, record: r.Record) -> int:
        return 0

    def kinds(self) -> list[str]:
        return [type(record).__name__ for record in self.sent]


class World:
    """One worker's attempts; no lease lives long enough to be run under."""

    def __init__(self, tmp_path) -> None:
        self.outbox = Acknowledging()
        self.claims = Claims(self.outbox, "w", retry_s=60, patience_s=60)
        self.pool = SlotPool(1)
        self.attempts = Attempts(
            "w", self.outbox, self.claims, LeaseTable(margin_s=3), self.pool, None, tmp_path, NO_SANDBOX
        )
        self.answered = 0

    async def hint(self) -> None:
        self.attempts.take(DISPATCH, None, await self.pool.reserve(), self._count)

    async def grant(self) -> None:
        claim = r.ClaimLease(tenant_id="acme", execution_id="e-1", epoch=1, claim_id="c", worker_id="w")
        await self.attempts.hear(lease(r.LeaseGranted, claim, claim_id="c", hold_ms=1, deadline_at=1))

    def _count(self) -> None:
        self.answered += 1


@pytest.fixture
async def world(tmp_path) -> World:
    return World(tmp_path)


async def test_a_hint_of_an_attempt_that_was_handed_back_is_not_claimed_again(world):
    """A second grant of the first claim may still come, and would answer the second claim."""
    await world.hint()
    await until(lambda: world.outbox.kinds() == ["ClaimLease"], "the claim")
    await world.grant()  # too late: it has run out
    await until(lambda: world.outbox.kinds() == ["ClaimLease", "FinishAttempt"], "the hand-back")
    await world.hint()  # gets the slot, so the first attempt is over
    await until(lambda: world.answered == 2, "the answer to the hint")
    await world.grant()
    await world.pool.reserve()
    assert world.outbox.kinds() == ["ClaimLease", "FinishAttempt"]


async def test_a_hint_of_an_attempt_whose_late_grant_was_handed_back_is_not_claimed(world):
    await world.grant()  # nobody waits for it any more
    assert world.outbox.kinds() == ["FinishAttempt"]
    await world.hint()
    assert world.answered == 1
    await world.grant()
    await world.pool.reserve()
    assert world.outbox.kinds() == ["FinishAttempt"]
