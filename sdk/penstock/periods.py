"""Closing months, and waiting until every partition of accounts has sealed them."""

from __future__ import annotations

from contextlib import aclosing
from uuid import uuid4

from penstock.answers import CONFIRMED_WITHIN_S, Answers
from penstock.broadcasting import Broadcasting
from penstock.errors import CommandRejected, NotConfirmed
from penstock.money_arguments import MonthArguments
from penstock.submitting import now_us
from penstock_schemas import records as r
from penstock_schemas.topics import ACCOUNTS_COMMANDS


class Periods:
    """Operator's commands about accounting months."""

    def __init__(self, answers: Answers, broadcasting: Broadcasting) -> None:
        self._answers = answers
        self._broadcasting = broadcasting

    async def close(self, wanted: MonthArguments) -> int:
        """Seal a month and every earlier one; returns how many partitions did.

        1. The end of every event partition is captured. A crash after this leaves nothing.
        2. The command is written to every partition at once. A crash after this leaves the month closed and nobody
           told; the same command again is refused as `already_closed`.
        3. The answers of every partition after 1 are awaited.

        Raises:
            CommandRejected: `not_over`, `already_closed`; nothing was closed.
            CommandInterrupted: another operator's command came in between; nothing was written.
            NotConfirmed: not every partition has answered in time.
        """
        command = r.ClosePeriod(
            event_id=str(uuid4()),
            tenant_id=r.SYSTEM_TENANT,
            occurred_at=now_us(),
            partition=0,
            period=wanted.month,
        )
        ends = await self._answers.ends()
        await self._broadcasting.write(ACCOUNTS_COMMANDS, [command])
        awaited = {end.partition for end in ends}
        async with aclosing(self._answers.after(ends)) as answers:
            async for answer in answers:
                match answer:
                    case r.PeriodCloseRefused(refused_event_id=command.event_id):
                        raise CommandRejected(f"month {wanted.month}", answer.reason, answer.detail)
                    case r.PeriodClosed(closed_by=command.event_id):
                        awaited.discard(answer.partition)
                if not awaited:
                    return len(ends)
        raise NotConfirmed(
            f"closing {wanted.month} is on Kafka, and accounts has not confirmed it in partitions "
            f"{sorted(awaited)} within {CONFIRMED_WITHIN_S:g} s; it does once the streams process runs "
            "(`penstock status`)"
        )
