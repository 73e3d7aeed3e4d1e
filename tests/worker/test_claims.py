"""Claims: what a lease's deadline counts from."""

import asyncio

import pytest

from penstock_consumers.worker.boottime import boottime_s
from penstock_consumers.worker.claims import Claims, Granted
from penstock_schemas import records as r
from tests.worker.lease_authority import lease

DISPATCH = r.ExecutionDispatched(
    tenant_id="acme", execution_id="e-1", request_id="q", agent_type="a", timeout_s=1, epoch=1, dispatch_seq=1
)


class Sent:
    """An outbox that keeps what it is given."""

    def __init__(self) -> None:
        self.claims: list[r.ClaimLease] = []
        self.any = asyncio.Event()

    async def send(self, topic: object, record: r.ClaimLease, *, trace: object) -> None:
        self.claims.append(record)
        self.any.set()

    def partition_of(self, topic: object, record: r.Record) -> int:
        return 7


@pytest.fixture
def sent() -> Sent:
    return Sent()


@pytest.fixture
def claims(sent: Sent) -> Claims:
    return Claims(sent, "w", retry_s=60, patience_s=60)  # type: ignore[arg-type]


async def ask(claims: Claims, sent: Sent, *, granted: bool) -> Granted | None:
    sent.any.clear()
    asking = asyncio.create_task(claims.ask(DISPATCH, None))
    await sent.any.wait()
    if granted:
        claim = sent.claims[-1]
        claims.answer(lease(r.LeaseGranted, claim, claim_id=claim.claim_id, hold_ms=1, deadline_at=1))
    else:
        claims.abandon()
    return await asking


async def test_a_claim_that_was_given_up_still_dates_the_lease_that_answers_a_later_one(claims, sent):
    assert await ask(claims, sent, granted=False) is None
    given_up = boottime_s()
    granted = await ask(claims, sent, granted=True)
    assert granted.claim_sent_s < given_up  # the grant may have been the answer to the first one
    assert granted.partition == 7


async def test_an_answered_claim_does_not_date_the_next_lease(claims, sent):
    """The control of the test above."""
    await ask(claims, sent, granted=True)
    answered = boottime_s()
    assert (await ask(claims, sent, granted=True)).claim_sent_s >= answered


async def test_an_answer_nobody_waits_for_is_told_from_one_that_is_awaited(claims, sent):
    await ask(claims, sent, granted=False)
    late = lease(r.LeaseDenied, sent.claims[0], claim_id="c", reason="held")
    assert not claims.answer(late)
