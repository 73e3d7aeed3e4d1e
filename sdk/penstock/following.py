"""Following one execution to its end: history from ClickHouse where it is needed, then live from Kafka."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing

from aiokafka import TopicPartition

from penstock.connecting import KafkaConnection
from penstock.encoding import Encoding
from penstock.errors import FollowTimeout, NotFound
from penstock.followed import Followed
from penstock.history import History
from penstock.models import Cursor, Submission
from penstock.tailing import Tail, tail
from penstock_schemas import records as r

Records = AsyncGenerator[r.Record, None]

WAIT_S = 1.0
"""Longest wait for records before deadlines are looked at again."""
REFUSED_WITHIN_S = 2.0
"""Many times what accounts takes to answer."""
LATE_PROGRESS_S = 5.0
"""A worker's progress is acknowledged before its result is; what is still missing this long after the end, and
is not on Kafka either, has been removed by retention."""


class Following:
    """Follows executions for one client.

    Args:
        kafka: where live records come from.
        encoding: how they are read.
        history: where earlier ones come from.
    """

    def __init__(self, kafka: KafkaConnection, encoding: Encoding, history: History) -> None:
        self._kafka = kafka
        self._encoding = encoding
        self._history = history

    def submitted(self, submission: Submission, timeout_s: float | None) -> Records:
        """Follow what this client asked for.

        A request id of the caller's own may have been answered long ago: then its history comes first.
        """
        followed = Followed(submission.execution_id, submission.event_id)
        deadline = Deadline(followed, timeout_s)
        if submission.named_by_caller:
            return self._with_history(followed, deadline, expected=True, sent_at=submission.cursor)
        return self._live(followed, submission.cursor, deadline, expected=True)

    def known(self, execution_id: str, timeout_s: float | None) -> Records:
        """Follow any execution from its first record on; raises `NotFound` where there is none."""
        followed = Followed(execution_id)
        return self._with_history(followed, Deadline(followed, timeout_s), expected=False)

    def since(self, execution_id: str, cursor: Cursor, timeout_s: float | None) -> Records:
        """Follow from `cursor` on, and nothing earlier."""
        followed = Followed(execution_id)
        return self._live(followed, cursor, Deadline(followed, timeout_s), expected=True)

    async def until_now(self, execution_id: str) -> list[r.Record]:
        """The records of one execution that exist now: loaded into ClickHouse, or still only on Kafka.

        Raises:
            NotFound: neither knows it.
        """
        followed = Followed(execution_id)
        past = await self._history.of(execution_id)
        found = [record for record in past.records if followed.accept(record)]
        if followed.terminal is None:
            async with tail(execution_id, past.cursor, self._kafka, self._encoding) as live:
                ends = await live.ends()
                while not await live.has_reached(ends):
                    found += [record for record in await live.next(WAIT_S) if followed.accept(record)]
        if not found:
            raise _unknown(execution_id)
        return found

    async def _with_history(
        self, followed: Followed, deadline: Deadline, *, expected: bool, sent_at: Cursor | None = None
    ) -> Records:
        past = await self._history.of(followed.execution_id)
        for record in past.records:
            if followed.accept(record):
                yield record
        if not followed.ended:
            rest = self._live(followed, past.cursor, deadline, expected=expected)
        elif sent_at is not None:
            rest = self._refusal(followed, sent_at)
        else:
            return
        async with aclosing(rest) as records:
            async for record in records:
                yield record

    async def _refusal(self, followed: Followed, sent_at: Cursor) -> Records:
        """The refusal of a request sent after its execution had ended, should one come.

        Accounts is silent about an exact repeat, and refuses another body under the same id: only waiting tells
        the two apart.
        """
        give_up_at_s = time.monotonic() + REFUSED_WITHIN_S
        async with tail(followed.execution_id, sent_at, self._kafka, self._encoding) as live:
            while followed.refused is None and (left_s := give_up_at_s - time.monotonic()) > 0:
                for record in await live.next(left_s):
                    if followed.accept(record) and followed.refused is not None:  # the rest was in the history
                        yield record

    async def _live(self, followed: Followed, cursor: Cursor, deadline: Deadline, *, expected: bool) -> Records:
        async with tail(followed.execution_id, cursor, self._kafka, self._encoding) as live:
            known_until = None if expected or followed.seen_any else await live.ends()
            last_chance: LastChance | None = None
            while not followed.ended:
                for record in await live.next(deadline.wait_s()):
                    if followed.accept(record):
                        yield record
                if known_until and not followed.seen_any and await live.has_reached(known_until):
                    raise _unknown(followed.execution_id)
                if followed.awaits_only_progress:
                    last_chance = last_chance or LastChance(await live.ends())
                    if await last_chance.passed(live):
                        return


class Deadline:
    """The caller's patience with one execution."""

    def __init__(self, followed: Followed, timeout_s: float | None) -> None:
        self._followed = followed
        self._timeout_s = timeout_s
        self._at_s = None if timeout_s is None else time.monotonic() + timeout_s

    def wait_s(self) -> float:
        """How long the next wait may be.

        Raises:
            FollowTimeout: the time is up.
        """
        if self._at_s is None:
            return WAIT_S
        left_s = self._at_s - time.monotonic()
        if left_s <= 0:
            raise FollowTimeout(
                f"execution {self._followed.execution_id} did not end within {self._timeout_s:g} s; it goes on, "
                f"and `penstock watch {self._followed.execution_id}` shows it"
            )
        return min(left_s, WAIT_S)


class LastChance:
    """Progress missing after the end: read what is on Kafka, for a while, then no longer."""

    def __init__(self, ends: dict[TopicPartition, int]) -> None:
        self._ends = ends
        self._over_at_s = time.monotonic() + LATE_PROGRESS_S

    async def passed(self, live: Tail) -> bool:
        return time.monotonic() > self._over_at_s and await live.has_reached(self._ends)


def _unknown(execution_id: str) -> NotFound:
    return NotFound(
        f"no execution {execution_id!r} is known to ClickHouse or Kafka; `penstock list` shows those that are"
    )
