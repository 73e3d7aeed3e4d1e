"""Provider calls after the fact: reported from outside, settled where their report was lost, corrected."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing
from uuid import uuid4

from penstock.answers import CONFIRMED_WITHIN_S, Answers
from penstock.errors import CommandRejected, InvalidInput, NotConfirmed, NotFound
from penstock.models import Adjustment, ReportedCall, UnresolvedCall
from penstock.money_arguments import CorrectionArguments, SettlementArguments, UsageArguments
from penstock.reading import Reading
from penstock.submitting import Submitting, now_us
from penstock_schemas import records as r
from penstock_schemas.topics import ACCOUNTS_COMMANDS, ACCOUNTS_REQUESTS


class Usage:
    """Reports about provider calls."""

    def __init__(self, submitting: Submitting, answers: Answers, reading: Reading) -> None:
        self._submitting = submitting
        self._answers = answers
        self._reading = reading

    async def record(self, wanted: UsageArguments) -> None:
        """Report a call made outside of Penstock."""
        fields = wanted.model_dump(exclude={"tenant", "user", "agent"})
        await self._report(tenant_id=wanted.tenant, user_id=wanted.user, agent_type=wanted.agent, **fields)

    async def settle(self, usage_id: str, used: SettlementArguments) -> UnresolvedCall:
        """Report, in its worker's place, what a call used that was never reported."""
        found = [call for call in await self._reading.unresolved_calls(None) if call.usage_id == usage_id]
        if not found:
            raise NotFound(f"no call {usage_id!r} is unresolved; `penstock usage unresolved` shows those that are")
        (call,) = found
        await self._report(
            tenant_id=call.tenant_id,
            usage_id=call.usage_id,
            execution_id=call.execution_id,
            epoch=call.epoch,
            call_seq=call.call_seq,
            user_id=call.user_id,
            agent_type=call.agent_type or None,
            model=call.model,
            **used.model_dump(),
        )
        return call

    async def correct(self, wanted: CorrectionArguments) -> Adjustment:
        """Say what a call that was reported truly used; counts that are left out stay as they are.

        1. The call is looked up in ClickHouse, and the end of its tenant's event partition is captured. A crash
           after this leaves nothing.
        2. The correction is sent. A crash after this leaves it booked and nobody told; the same again is refused
           as `no_difference`.
        3. The answer to it after 1 is awaited.

        Raises:
            NotFound: no such call is loaded.
            InvalidInput: several tenants have a call of that id.
            CommandRejected: accounts refused it; nothing was booked.
            NotConfirmed: no answer came in time.
        """
        call = _the_one(await self._reading.reported_calls(wanted.usage_id, wanted.tenant), wanted.usage_id)
        counts = {name: count for name, count in wanted.counts().items() if count is not None}
        command = r.CorrectUsage(
            event_id=str(uuid4()),
            occurred_at=now_us(),
            reason=wanted.reason,
            **(call.model_dump() | counts),
        )
        ends = await self._answers.ends(call.tenant_id)
        await self._submitting.produce(ACCOUNTS_COMMANDS, command)
        async with aclosing(self._answers.after(ends)) as answers:
            async for answer in answers:
                match answer:
                    case r.CorrectionRefused(refused_event_id=command.event_id):
                        raise CommandRejected(f"call {wanted.usage_id}", answer.reason, answer.detail)
                    case r.ChargeAdjusted(corrected_by=command.event_id):
                        return _adjustment(answer)
                    case r.UsageCharged(tenant_id=call.tenant_id, usage_id=wanted.usage_id):
                        return _adjustment(answer)
        raise NotConfirmed(
            f"the correction of {wanted.usage_id!r} is on Kafka, and accounts has not answered it within "
            f"{CONFIRMED_WITHIN_S:g} s; it does once the streams process runs (`penstock status`)"
        )

    async def _report(self, **fields: object) -> None:
        usage = r.RecordUsage.model_validate({"event_id": str(uuid4()), "occurred_at": now_us()} | fields)
        await self._submitting.produce(ACCOUNTS_REQUESTS, usage)


def _the_one(found: Sequence[ReportedCall], usage_id: str) -> ReportedCall:
    if not found:
        raise NotFound(f"no call {usage_id!r} is loaded; it takes a second after it was reported")
    if len(found) > 1:
        tenants = ", ".join(sorted(call.tenant_id for call in found))
        raise InvalidInput(f"tenants {tenants} each have a call {usage_id!r}: name one")
    return found[0]


def _adjustment(line: r.UsageCharged | r.ChargeAdjusted) -> Adjustment:
    return Adjustment(
        line_id=line.event_id,
        tenant_id=line.tenant_id,
        usage_id=line.usage_id,
        period=line.period,
        adjusts_period=line.adjusts_period,
        cost_nanousd=line.cost_nanousd,
        price_version=line.price_version,
    )
