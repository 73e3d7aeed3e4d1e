"""The loop: Kafka to ClickHouse, then the offsets."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError
from clickhouse_connect.driver.client import Client

from penstock.errors import ClickHouseUnreachable, KafkaUnreachable
from penstock.permissions import MISSING_RIGHTS, not_permitted
from penstock.settings import ClickHouseSettings, KafkaSettings
from penstock_consumers.loader.columns import Rows, warm_up
from penstock_consumers.loader.dead_letters import send_dead_letters
from penstock_consumers.loader.inserting import Poison, insert_rows
from penstock_consumers.loader.intake import Batch, Intake
from penstock_consumers.loader.metrics import BATCH_ROWS, COMMIT_SECONDS, INSERT_SECONDS, ROWS
from penstock_consumers.loader.settings import LoaderSettings
from penstock_consumers.loader.tables import LOADED_TOPICS
from penstock_schemas.codec import Codec
from penstock_schemas.dead_letters import dead_letter_of
from penstock_schemas.topics import DEAD_LETTERS
from penstock_services.clickhouse import connect
from penstock_services.consuming import Standing, read_up_to
from penstock_services.metrics import count_dead_letters

log = logging.getLogger("penstock.loader")
ALL_TOPICS = tuple(topic.name for topic in LOADED_TOPICS)
LONGEST_PAUSE_S = 5.0


class Loader:
    """One member of the loader's consumer group.

    Commit order of one batch, and what a crash costs:

    1. insert the batch, table by table. A crash before its end leaves rows whose offsets are not committed: the
       next loader inserts them again, perhaps grouped otherwise, and the tables' keys collapse them. Until their
       parts have merged, a SELECT without FINAL may see a row twice.
    2. produce dead letters for what cannot be loaded and wait for every acknowledgement. A crash behind it repeats
       1 and 2; a dead letter's id derives from its record's coordinates, so the repeat is the same one.
    3. commit the offsets. From here on the batch is never read again; a crash behind it costs nothing.

    While a batch is inserted the next one is gathered. So while ClickHouse is away the loader holds two and asks
    Kafka for nothing more: the lag stays on Kafka. Batches are loaded in order: an offset is committed only once
    everything before it is in; where a rebalance makes the loader read a batch again, it is one more repeat.

    Args:
        codec: its registry stays the caller's.
        topics: to load; all event topics, unless a test has its own.
    """

    def __init__(
        self,
        kafka: KafkaSettings,
        clickhouse: ClickHouseSettings,
        codec: Codec,
        settings: LoaderSettings | None = None,
        topics: tuple[str, ...] = ALL_TOPICS,
    ) -> None:
        self._kafka = kafka
        self._clickhouse = clickhouse
        self._codec = codec
        self._settings = settings or LoaderSettings()
        self._topics = topics
        self._stopping = asyncio.Event()
        self._client: Client | None = None
        self._consumer: AIOKafkaConsumer[bytes, bytes] | None = None
        self._intake: Intake | None = None
        self._held = Batch()
        self._hindrance: str | None = "has not joined its consumer group yet"

    def hindrance(self) -> str | None:
        """Why rows are not flowing now; None while they are, or would if there were any."""
        return self._hindrance

    def standings(self) -> Iterator[Standing]:
        """How far every partition is that this loader has; before what it holds and gathers."""
        if self._consumer is not None and self._intake is not None:
            unloaded = (self._held.first_offsets, self._intake.gathering.first_offsets)
            for partition, read_to, end in read_up_to(self._consumer):
                done = min((first[partition] for first in unloaded if partition in first), default=read_to)
                yield Standing("loader", partition.topic, partition.partition, done, end - done)

    def stop(self) -> None:
        """Let `run` return after the batch it holds."""
        self._stopping.set()

    async def run(self) -> None:
        """Load until `stop`. A batch that ClickHouse does not take by then stays uncommitted on Kafka.

        Raises:
            NotPermitted: this user lacks a right on Kafka.
            KafkaUnreachable: Kafka is away; the supervisor starts a new loader.
            ContractError: the schema of dead letters is not registered.
        """
        await asyncio.to_thread(warm_up)
        await self._codec.prepare_writer(DEAD_LETTERS, DEAD_LETTERS.records[0])
        options = self._kafka.client_options()
        consumer: AIOKafkaConsumer[bytes, bytes] = AIOKafkaConsumer(
            *self._topics,
            **options,
            group_id=self._settings.group_id,
            isolation_level="read_committed",
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            fetch_max_wait_ms=100,
            fetch_min_bytes=64 << 10,
            fetch_max_bytes=16 << 20,
            session_timeout_ms=6_000,  # how long a killed loader keeps its partitions
            heartbeat_interval_ms=2_000,
            max_poll_interval_ms=86_400_000,  # an outage of ClickHouse must not cost the membership
        )
        producer = AIOKafkaProducer(**options, acks="all", enable_idempotence=True, max_request_size=1 << 20)
        try:
            await consumer.start()
            self._consumer = consumer
            await producer.start()
            self._hindrance = None
            await self._load_all(consumer, producer)
        except MISSING_RIGHTS as exc:
            raise not_permitted(self._kafka, "loading", exc) from exc
        except KafkaError as exc:
            raise KafkaUnreachable(
                f"Kafka at {self._kafka.bootstrap_servers} did not do what was asked ({exc!r}); "
                "check PENSTOCK_KAFKA_BOOTSTRAP_SERVERS and that the broker runs"
            ) from exc
        finally:
            self._consumer = self._intake = None
            await consumer.stop()
            await producer.stop()
            if self._client is not None:
                self._client.close()

    async def _load_all(self, consumer: AIOKafkaConsumer[bytes, bytes], producer: AIOKafkaProducer) -> None:
        intake = self._intake = Intake(consumer, self._codec, self._settings)
        gathering = asyncio.create_task(intake.next_batch())
        try:
            while not self._stopping.is_set():
                batch = self._held = await gathering
                gathering = asyncio.create_task(intake.next_batch())
                if batch.records:
                    began_s = time.monotonic()
                    await self._load(batch, consumer, producer)
                    intake.loading_took(time.monotonic() - began_s)
                self._held = Batch()
        finally:
            gathering.cancel()
            await asyncio.gather(gathering, return_exceptions=True)

    async def _load(
        self, batch: Batch, consumer: AIOKafkaConsumer[bytes, bytes], producer: AIOKafkaProducer
    ) -> None:
        started_ns = time.time_ns()
        with INSERT_SECONDS.time():
            tables = await asyncio.to_thread(batch.rows, self._codec)
            for table, rows in tables.items():
                if not await self._insert(table, rows, batch):  # 1
                    return
        if batch.letters:
            await send_dead_letters(producer, self._codec, batch.letters, occurred_at=time.time_ns() // 1000)  # 2
            for letter in batch.letters:
                count_dead_letters("loader", letter.error_code)
        try:
            with COMMIT_SECONDS.time():
                await consumer.commit(batch.next_offsets)  # 3
        except (CommitFailedError, IllegalStateError) as exc:
            log.warning("another loader has taken over; it repeats this batch, and the keys collapse it: %s", exc)
        BATCH_ROWS.observe(batch.records)
        batch.traces.span(
            "loader",
            started_ns,
            group=self._settings.group_id,
            records=batch.records,
            more={"db.system.name": "clickhouse", "db.namespace": self._clickhouse.database},
        )

    async def _insert(self, table: str, rows: Rows, batch: Batch) -> bool:
        """Insert, waiting while ClickHouse is away; False where the loader was stopped before it came back."""
        pause_s = 0.2
        while True:
            try:
                refused = await asyncio.to_thread(self._insert_now, table, rows)
            except ClickHouseUnreachable as exc:
                self._hindrance = str(exc)
                log.warning("%d rows of %s wait: %s", len(rows), table, exc)
                if await self._stopped_within(pause_s):
                    return False
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
                continue
            self._hindrance = None
            for poison in refused:
                (source,), tenant = poison.row.sources, poison.row.columns["tenant_id"][0].as_py()
                log.error("%s offset %d is refused: %s", source.topic, source.offset, poison.error)
                batch.letters.append(dead_letter_of(source, poison.error, "loader", tenant_id=tenant))
            ROWS(table).inc(len(rows) - len(refused))
            return True

    def _insert_now(self, table: str, rows: Rows) -> list[Poison]:
        if self._client is None:
            self._client = connect(self._clickhouse, deadline_s=0)
        return insert_rows(self._client, self._clickhouse, table, rows)

    async def _stopped_within(self, pause_s: float) -> bool:
        try:
            await asyncio.wait_for(self._stopping.wait(), pause_s)
        except TimeoutError:
            return False
        return True
