"""What became of a load, compared with what had to. Pure: records in, findings out."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from penstock_schemas import records as r
from penstock_schemas import topics
from penstock_schemas.ids import usage_id
from penstock_schemas.records.executions import TerminalEvent
from penstock_services.topic_reader import Read
from tests.faults.conversations import Conversation
from tests.faults.pipelines import Pipeline
from tests.faults.verdict_chains import Chains, judge_chains
from tests.faults.wanted import Wanted

WRITTEN_ONCE = (
    topics.EXECUTIONS_EVENTS.name,
    topics.ACCOUNTS_EVENTS.name,
    topics.EXECUTIONS_LEASES.name,
    topics.dispatch_topic(topics.DEFAULT_QUEUE).name,
    topics.CONVERSATIONS_COMMANDS.name,
    topics.CONVERSATIONS_EVENTS.name,
    topics.PIPELINES_COMMANDS.name,
    topics.PIPELINES_EVENTS.name,
)
"""Topics that only the stages write, inside their transactions: an event_id lies on them once."""
LATE_DAYS = 2
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LOADED_TOPICS = (
    topics.EXECUTIONS_EVENTS.name,
    topics.ACCOUNTS_EVENTS.name,
    topics.EXECUTIONS_PROGRESS.name,
    topics.CONVERSATIONS_EVENTS.name,
    topics.PIPELINES_EVENTS.name,
)


@dataclass
class Verdict:
    """Every violation in words; all lists empty is what the platform promises."""

    executions: int = 0
    lost: list[str] = field(default_factory=list)
    """Executions without a terminal event, or without the result they had to have."""
    doubled: list[str] = field(default_factory=list)
    """Executions with two terminal events, and records of the stages that were written twice."""
    charges: list[str] = field(default_factory=list)
    """Calls that were charged twice, not at all, without having been reported, or in a month in which they were
    not made."""
    progress: list[str] = field(default_factory=list)
    """Accepted attempts whose progress has a gap."""
    rows: list[str] = field(default_factory=list)
    """Events that are missing from ClickHouse, or in it twice."""
    chains: Chains = field(default_factory=Chains)
    """What became of conversations and pipelines, beyond that of their executions."""

    @property
    def violations(self) -> list[str]:
        own = (self.lost, self.doubled, self.charges, self.progress, self.rows)
        return [*(finding for found in own for finding in found), *self.chains.violations]


def judge(
    wanted: Sequence[Wanted],
    reads: Iterable[Read],
    rows: Mapping[str, int] | None,
    conversations: Sequence[Conversation] = (),
    pipelines: Sequence[Pipeline] = (),
) -> Verdict:
    """Compare.

    Args:
        wanted: the executions of the load.
        reads: what Kafka holds, also of other loads, whose fate is not judged.
        rows: how often each event_id is in ClickHouse; None where that is not asked.
        conversations: those of the load, whose turns are among `wanted`.
        pipelines: those of the load, whose stages are among `wanted`.
    """
    tenants, reads = {each.tenant for each in wanted}, list(reads)
    own = [read for read in reads if read.record.tenant_id in tenants]
    verdict = Verdict(executions=len(wanted), chains=judge_chains(conversations, pipelines, own))
    endings: dict[str, list[r.Record]] = defaultdict(list)
    seqs: dict[tuple[str, int], set[int]] = defaultdict(set)
    for read in own:
        match read.record:
            case TerminalEvent() | r.ExecutionRejected() as ending:
                endings[ending.execution_id].append(ending)
            case r.ProgressRecord() as progress:
                seqs[progress.execution_id, progress.epoch].add(progress.seq)
    charged = _judge_charges(own, verdict)
    for each in wanted:
        ending = _judge_ending(each, endings[each.execution_id], verdict)
        if ending is not None:
            _judge_attempt(each, ending, seqs[each.execution_id, ending.epoch], charged, verdict)
    _judge_repeats(reads, verdict)
    if rows is not None:
        _judge_rows(own, rows, verdict)
    return verdict


def all_ended(wanted: Sequence[Wanted], reads: Iterable[Read]) -> bool:
    """Whether every execution has an end, and every reported call of its tenants a line."""
    tenants = {each.tenant for each in wanted}
    ended, reported, lines = set(), set(), set()
    for read in reads:
        if read.record.tenant_id not in tenants:
            continue
        match read.record:
            case TerminalEvent() | r.ExecutionRejected() as ending:
                ended.add(ending.execution_id)
            case r.RecordUsage() as usage:
                reported.add(usage.usage_id)
            case r.UsageCharged() | r.UsageQuarantined() as line:
                lines.add(line.usage_id)
    return ended >= {each.execution_id for each in wanted} and lines >= reported


def loaded_ids(wanted: Sequence[Wanted], reads: Iterable[Read]) -> set[str]:
    """The event_ids of the load's records that ClickHouse must have."""
    tenants = {each.tenant for each in wanted}
    return {
        read.record.event_id for read in reads if read.topic in LOADED_TOPICS and read.record.tenant_id in tenants
    }


def _judge_ending(wanted: Wanted, endings: Sequence[r.Record], verdict: Verdict) -> r.ExecutionCompleted | None:
    """The accepted result, where it is the right one."""
    name = wanted.request_id
    if not endings:
        verdict.lost.append(f"{name} has no terminal event")
        return None
    if len(endings) > 1:
        verdict.doubled.append(f"{name} has {len(endings)} terminal events")
    ending = endings[0]
    if not isinstance(ending, r.ExecutionCompleted):
        reason = getattr(ending, "error_type", None) or getattr(ending, "reason", "")
        verdict.lost.append(f"{name} ended as {type(ending).__name__} {reason}")
        return None
    if ending.output != wanted.output:
        verdict.lost.append(f"{name} completed with {ending.output!r} instead of {wanted.output!r}")
        return None
    return ending


def _judge_attempt(
    wanted: Wanted, ending: r.ExecutionCompleted, seqs: set[int], charged: Counter[str], verdict: Verdict
) -> None:
    name, epoch = wanted.request_id, ending.epoch
    if ending.last_seq != wanted.last_seq or seqs != set(range(1, wanted.last_seq + 1)):
        verdict.progress.append(f"{name}: of progress 1 to {ending.last_seq} there is {sorted(seqs)}")
    for call in range(1, wanted.calls + 1):
        if not charged[usage_id(wanted.tenant, wanted.execution_id, epoch, call)]:
            verdict.charges.append(f"{name}: call {call} of the accepted attempt {epoch} is not charged")


def _judge_charges(own: Sequence[Read], verdict: Verdict) -> Counter[str]:
    """How often each call is charged; adds what does not agree with the reports."""
    reported = {read.record.usage_id for read in own if isinstance(read.record, r.RecordUsage)}
    charged = Counter(read.record.usage_id for read in own if isinstance(read.record, r.UsageCharged))
    verdict.charges += [f"call {call} is charged {times} times" for call, times in charged.items() if times > 1]
    verdict.charges += [f"call {call} was reported and not charged" for call in sorted(reported - charged.keys())]
    verdict.charges += [
        f"call {call} is charged and was not reported" for call in sorted(charged.keys() - reported)
    ]
    verdict.charges += _misdated(own)
    return charged


def _misdated(own: Sequence[Read]) -> list[str]:
    """Charges in another month than that of their reports' arrival; an honest report may be as late as
    `LATE_DAYS`."""
    arrived = {read.record.usage_id: read.timestamp for read in own if isinstance(read.record, r.RecordUsage)}
    found = []
    for read in own:
        if isinstance(read.record, r.UsageCharged) and read.record.usage_id in arrived:
            day = EPOCH + timedelta(microseconds=arrived[read.record.usage_id])
            months = {f"{day - timedelta(days=late):%Y-%m}" for late in range(LATE_DAYS + 1)}
            if read.record.period not in months:
                found.append(f"call {read.record.usage_id} of {day:%Y-%m-%d} is charged in {read.record.period}")
    return found


def _judge_repeats(reads: Sequence[Read], verdict: Verdict) -> None:
    written = Counter((read.topic, read.record.event_id) for read in reads if read.topic in WRITTEN_ONCE)
    kinds = {read.record.event_id: type(read.record).__name__ for read in reads}
    verdict.doubled += [
        f"{kinds[event]} {event} was written {times} times" for (_, event), times in written.items() if times > 1
    ]


def _judge_rows(own: Sequence[Read], rows: Mapping[str, int], verdict: Verdict) -> None:
    kinds = {read.record.event_id: type(read.record).__name__ for read in own if read.topic in LOADED_TOPICS}
    verdict.rows += [f"{kind} {event} is not in ClickHouse" for event, kind in kinds.items() if event not in rows]
    verdict.rows += [f"{event} is in ClickHouse {times} times" for event, times in rows.items() if times > 1]
