"""A worker on a real broker and registry, beside a scripted lease authority."""

import asyncio
import time
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from penstock.artifacts import ArtifactStore
from penstock.settings import ArtifactSettings, KafkaSettings
from penstock_consumers.worker.settings import WorkerSettings
from penstock_consumers.worker.worker import Worker
from penstock_schemas import records as r
from penstock_schemas.ids import derived_id, payload_scope, usage_id
from penstock_schemas.topics import EXECUTIONS_LEASES, MAX_INLINE_BYTES, dispatch_topic
from penstock_services.topic_admin import kafka_admin
from tests.worker.lease_authority import QUEUE, LeaseAuthority, exists, lease, until

pytestmark = pytest.mark.integration


async def test_a_granted_attempt_runs_and_its_result_comes_after_its_usage(authority, start_worker):
    async with start_worker() as worker:
        execution = await authority.dispatch("works", user_id="ada")
        finish = await authority.finished(execution)
    (claim,) = authority.all(r.ClaimLease, execution)
    assert claim.claim_id == derived_id("claim", worker.worker_id, execution, 1)
    assert finish.model_copy(update={"event_id": "", "occurred_at": 0}) == r.FinishAttempt(
        tenant_id="acme",
        execution_id=execution,
        epoch=1,
        worker_id=worker.worker_id,
        status="completed",
        output="hello",
        last_seq=3,
        used_tokens=30,
    )
    assert [p.seq for p in authority.all(r.ProgressRecord, execution)] == [1, 2, 3]
    (usage,) = authority.all(r.RecordUsage, execution)
    assert usage.usage_id == usage_id("acme", execution, 1, 1)
    assert (usage.model, usage.input_tokens, usage.output_tokens) == ("gpt-4", 10, 20)
    assert (usage.user_id, usage.agent_type, usage.call_seq) == ("ada", "works", 1)
    appended = {type(s.record): s.appended_ms for s in authority.seen if s.record in (usage, finish)}
    assert appended[r.RecordUsage] <= appended[r.FinishAttempt]


async def test_a_denied_attempt_does_not_run_and_is_not_read_again(authority, start_worker, platform):
    authority.on_claim = "deny"
    async with start_worker():
        execution = await authority.dispatch("works")
        await authority.until(lambda: authority.all(r.ClaimLease, execution), "a claim")
        authority.on_claim = "grant"
        await authority.finished(await authority.dispatch("works"))
    assert not authority.all(r.ProgressRecord, execution)
    assert not authority.all(r.FinishAttempt, execution)
    assert await open_dispatches(platform.kafka) == 0


async def test_an_unanswered_claim_is_repeated_as_it_was(authority, start_worker):
    authority.on_claim = "ignore"
    async with start_worker(claim_retry_s=0.2):
        execution = await authority.dispatch("works")
        await authority.until(lambda: len(authority.all(r.ClaimLease, execution)) == 2, "a second claim")
        for claim in authority.all(r.ClaimLease, execution):  # both are answered, as the lease authority would
            await authority.grant(claim)
        await authority.finished(execution)
        await authority.finished(await other_run(authority))
    assert len({claim.claim_id for claim in authority.all(r.ClaimLease, execution)}) == 1
    assert [f.status for f in authority.all(r.FinishAttempt, execution)] == ["completed"]


async def test_a_claim_nobody_answers_frees_its_slot_and_its_late_grant_is_handed_back(authority, start_worker):
    authority.on_claim = "ignore"
    async with start_worker(concurrency=1, claim_retry_s=60.0, claim_patience_s=0.3):
        execution = await authority.dispatch("works")
        (claim,) = await authority.until(lambda: authority.all(r.ClaimLease, execution), "a claim")
        authority.on_claim = "grant"
        await authority.finished(await other_run(authority))
        await authority.grant(claim)
        finish = await authority.finished(execution)
    assert (finish.status, finish.last_seq) == ("handed_back", 0)


async def test_a_revoked_run_is_killed_and_only_its_usage_is_reported(authority, start_worker):
    async with start_worker():
        execution = await authority.dispatch("blocks")
        pid = await authority.pid_of(execution)
        (claim,) = authority.all(r.ClaimLease, execution)
        await authority.revoke(claim)
        await until(lambda: not exists(pid), "the slot was killed")
        await authority.finished(await other_run(authority))
    assert len(authority.all(r.RecordUsage, execution)) == 1
    assert not authority.all(r.FinishAttempt, execution)


async def test_a_run_whose_heartbeats_are_not_confirmed_is_killed_before_its_lease_ends(authority, start_worker):
    authority.confirm, authority.hold_ms = False, 3_000
    async with start_worker(lease_margin_s=1.5):
        execution = await authority.dispatch("blocks")
        pid = await authority.pid_of(execution)
        await until(lambda: not exists(pid), "the slot was killed")
        (claim,) = authority.all(r.ClaimLease, execution)
        assert 1.4 < time.time() - claim.occurred_at / 1e6 < 3
        authority.confirm = True
        await authority.finished(await other_run(authority))
    assert not authority.all(r.FinishAttempt, execution)


async def test_a_run_whose_heartbeats_are_confirmed_outlives_its_first_lease(authority, start_worker):
    """The control of the test above."""
    authority.hold_ms = 3_000
    async with start_worker(lease_margin_s=1.5):
        execution = await authority.dispatch("waits", input="4")
        assert (await authority.finished(execution)).status == "completed"
    (beat, *_) = [h for h in authority.all(r.Heartbeat) if h.leases]
    assert [(held.execution_id, held.epoch) for held in beat.leases] == [(execution, 1)]


async def test_a_crashed_slot_fails_its_run_retryably_and_is_replaced(authority, start_worker):
    async with start_worker(concurrency=1):
        finish = await authority.finished(await authority.dispatch("crashes"))
        assert (finish.status, finish.error_type, finish.retryable) == ("failed", "SlotDied", True)
        assert (await authority.finished(await other_run(authority))).status == "completed"


@pytest.mark.parametrize(
    ("agent", "error_type", "retryable"),
    [
        ("exits", "SystemExit", False),
        ("raises-base", "KeyboardInterrupt", False),
        ("returns-number", "NotText", False),
        ("fails-for-now", "RetryableAgentError", True),
        ("finds-no-room", "WorkerDiskFull", True),
        ("no-such-agent", "UnknownAgent", False),
    ],
)
async def test_a_failed_run_says_why_and_whether_to_try_again(
    authority, start_worker, agent, error_type, retryable
):
    async with start_worker(concurrency=1):
        finish = await authority.finished(await authority.dispatch(agent))
        assert (finish.status, finish.error_type, finish.retryable) == ("failed", error_type, retryable)
        assert (await authority.finished(await other_run(authority))).status == "completed"


async def test_a_run_beyond_its_time_is_killed_and_reported_with_its_usage(authority, start_worker):
    async with start_worker():
        execution = await authority.dispatch("blocks", timeout_s=2)
        finish = await authority.finished(execution)
        assert not exists(await authority.pid_of(execution))
    assert (finish.status, finish.error_type, finish.last_seq) == ("timed_out", "TimedOut", 1)
    assert len(authority.all(r.RecordUsage, execution)) == 1


async def test_a_large_input_and_a_large_output_travel_by_reference(authority, start_worker, platform):
    text = "größer " * MAX_INLINE_BYTES
    store = ArtifactStore(str(platform.artifacts))
    async with start_worker():
        execution = await authority.dispatch("works", input=None, input_ref=await store.put(text.encode()))
        finish = await authority.finished(execution)
    assert finish.output is None
    assert (await store.get(finish.output_ref)).decode() == text


async def test_five_mebibytes_of_output_travel_by_reference(authority, start_worker, platform):
    async with start_worker():
        finish = await authority.finished(await authority.dispatch("returns-five-mebibytes"))
    assert (finish.status, finish.output, finish.output_ref.size) == ("completed", None, 5 * 1024 * 1024)


async def test_a_reference_outside_the_store_fails_the_run_for_good(authority, start_worker, platform):
    foreign = r.PayloadRef(sha256="0" * 64, size=10, uri="file:///etc/passwd")
    async with start_worker():
        finish = await authority.finished(await authority.dispatch("works", input=None, input_ref=foreign))
    assert (finish.status, finish.error_type, finish.retryable) == ("failed", "InvalidInput", False)


async def test_an_undecodable_dispatch_becomes_a_dead_letter_and_the_next_one_runs(
    authority, start_worker, platform
):
    async with start_worker():
        await authority.send_bytes(dispatch_topic(QUEUE), b"\x07poison", 0)
        letters = await authority.until(lambda: authority.all(r.DeadLetter), "a dead letter")
        await authority.finished(await other_run(authority))
    assert (letters[0].value, letters[0].error_code, letters[0].stage) == (b"\x07poison", "bad_framing", "worker")
    assert letters[0].source_topic == dispatch_topic(QUEUE).name
    assert await open_dispatches(platform.kafka) == 0


async def test_a_repeated_dispatch_of_a_running_attempt_is_not_run_twice(authority, start_worker):
    async with start_worker():
        first = await authority.dispatch("waits", input="1")
        await authority.pid_of(first)
        again = r.ExecutionDispatched(
            tenant_id="acme",
            execution_id=first,
            request_id=first,
            agent_type="waits",
            input="1",
            timeout_s=60,
            epoch=1,
            dispatch_seq=2,
        )
        await authority.send(dispatch_topic(QUEUE), again)
        await authority.finished(await other_run(authority))
        await authority.finished(first)
    assert len(authority.all(r.ClaimLease, first)) == 1
    assert len(authority.all(r.FinishAttempt, first)) == 1


async def test_a_draining_worker_leaves_its_group_before_its_runs_end(authority, start_worker, platform):
    async with start_worker(drain_s=30) as worker:
        execution = await authority.dispatch("waits-for-file")
        progress = await authority.until(lambda: authority.all(r.ProgressReported, execution), "the run has begun")
        worker.drain()
        while await group_members(platform.kafka):
            assert not authority.all(r.FinishAttempt, execution), "the group was left only at the end"
        await asyncio.to_thread(Path(progress[0].message).touch)
        assert (await authority.finished(execution)).status == "completed"


async def test_answers_to_other_workers_are_not_ours(authority, start_worker):
    async with start_worker() as worker:
        execution = await authority.dispatch("waits", input="1")
        await authority.pid_of(execution)
        (claim,) = authority.all(r.ClaimLease, execution)
        stranger = claim.model_copy(update={"worker_id": "elsewhere:1:boot"})
        for partition in range(3):  # wherever this worker listens
            value = authority.platform.codec.encode(
                EXECUTIONS_LEASES.name, lease(r.LeaseRevoked, stranger, reason="x"), event_id="e", occurred_at=1
            )
            await authority.send_bytes(EXECUTIONS_LEASES, value, partition)
        finish = await authority.finished(execution)
    assert (finish.status, finish.worker_id) == ("completed", worker.worker_id)


async def test_kafka_that_stays_away_ends_the_start_with_its_address(platform):
    from penstock.errors import KafkaUnreachable

    nowhere = KafkaSettings(bootstrap_servers="127.0.0.1:9")
    worker = Worker(WorkerSettings(start_wait_s=0.1), nowhere, platform.registry, ArtifactSettings())
    with pytest.raises(KafkaUnreachable, match=r"127\.0\.0\.1:9"):
        await worker.serve()


async def other_run(authority: LeaseAuthority) -> str:
    """An ordinary run: once it has finished, everything before it has been dealt with."""
    authority.on_claim = "grant"
    return await authority.dispatch("works")


async def group_members(kafka: KafkaSettings) -> int:
    """Of the workers' group of the queue."""
    async with kafka_admin(kafka) as admin:
        (described,) = await admin.describe_consumer_groups([f"penstock-workers-{QUEUE}"])
    ((_, _, _, _, _, members, *_),) = described.groups
    return len(members)


async def open_dispatches(kafka: KafkaSettings) -> int:
    """Dispatches of the queue that the workers' group has not committed."""
    consumer = AIOKafkaConsumer(**kafka.client_options(), group_id=f"penstock-workers-{QUEUE}")
    await consumer.start()
    try:
        topic = dispatch_topic(QUEUE).name
        partitions = [TopicPartition(topic, n) for n in range(3)]
        ends = await consumer.end_offsets(partitions)
        return sum([ends[p] - (await consumer.committed(p) or 0) for p in partitions])
    finally:
        await consumer.stop()


async def test_a_turns_agent_is_given_what_was_said_before_inline_or_by_reference(
    authority, start_worker, platform
):
    store = ArtifactStore(str(platform.artifacts))
    scope = payload_scope("acme", "ann", "c1")
    ref = await store.put(b"said at length", scope)
    history = [
        r.HistoryMessage(turn_number=1, role="user", said_at=1_000_000, content="said"),
        r.HistoryMessage(
            turn_number=1, role="assistant", said_at=2_000_000, content_ref=r.ContentRef(**ref.model_dump())
        ),
    ]
    turn = {"user_id": "ann", "conversation_id": "c1", "turn_number": 2, "history": history}
    async with start_worker():
        told = (await authority.finished(await authority.dispatch("recalls", **turn))).output
        large = await authority.finished(await authority.dispatch("returns-five-mebibytes", **turn))
    assert told == "c1 2: 1 user said 1.0, 1 assistant said at length 2.0"
    assert f"/conversations/{scope}/" in large.output_ref.uri, "it goes with its conversation"
