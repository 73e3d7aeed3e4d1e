"""Our own processes without one guard, for controls: `python -m tests.faults.unguarded GUARD COMMAND`."""

from __future__ import annotations

import os
import sys
from typing import Any

GUARDS = (
    "lease expiry",
    "epoch check",
    "worker's deadline and epoch check",
    "recovery",
    "fencing",
    "insert before commit",
    "brokers' time",
    "credible time",
    "full disk is retryable",
)


def switch_off(guard: str) -> None:
    """Replace the guard's code in this process."""
    match guard:
        case "lease expiry":
            _nothing_expires()
        case "epoch check":
            _whoever_finishes_first_or_later()
        case "worker's deadline and epoch check":  # either alone keeps a stopped worker's results away
            _workers_keep_expired_leases()
            _whoever_finishes_first_or_later()
        case "recovery":
            _stores_are_trusted()
        case "fencing":
            _every_process_its_own_transactional_id()
        case "insert before commit":
            _offsets_first()
        case "brokers' time":
            _each_process_its_own_time()
        case "credible time":
            _any_time_is_credible()
        case "full disk is retryable":
            _a_full_disk_fails_for_good()
        case _:
            raise ValueError(f"no guard {guard!r}; there are: {', '.join(GUARDS)}")


def swap(owner: Any, name: str, instead: Any) -> Any:
    """Put `instead` in the place of an attribute that must be there; returns what was."""
    before = getattr(owner, name)
    setattr(owner, name, instead)
    return before


def _nothing_expires() -> None:
    """A lease lives for ever, so nobody notices that its worker died."""
    from penstock_streams.executions.decide import Executions
    from penstock_streams.kit import Decision

    def expire(self: Executions, rows: Any, worker_id: str, now: int) -> Decision:
        return Decision()

    swap(Executions, "_expire", expire)


def _whoever_finishes_first_or_later() -> None:
    """Every reported result is accepted: epoch, holder and state are not compared."""
    import msgspec

    from penstock_streams.executions import model as m
    from penstock_streams.executions.decide import Executions

    finish_guarded, end_guarded = Executions._finish, Executions._end

    class Agreeing:
        """Rows that say of any execution that it is running as reported."""

        def __init__(self, rows: Any, finish: Any) -> None:
            self._rows, self._finish = rows, finish

        def get(self, key: str, kind: type[Any]) -> Any:
            row = self._rows.get(key, kind)
            if isinstance(row, m.Execution):
                finish = self._finish
                return msgspec.structs.replace(
                    row, state="running", epoch=finish.epoch, worker_id=finish.worker_id
                )
            return row

    def finish(self: Executions, rows: Any, record: Any, now: int) -> Any:
        if record.status != "completed":
            return finish_guarded(self, rows, record, now)
        return finish_guarded(self, Agreeing(rows, record), record, now)  # type: ignore[arg-type]

    def end(
        self: Executions, execution: Any, event: Any, status: str, now: int, decision: Any, *more: Any
    ) -> None:
        end_guarded(self, execution, event, status, now, decision, *more)
        decision.deletes.remove(m.assignment_key(event.execution_id))  # another result may still come

    swap(Executions, "_finish", finish)
    swap(Executions, "_end", end)


def _workers_keep_expired_leases() -> None:
    """A worker goes on with runs whose leases it could not renew in time."""
    from penstock_consumers.worker.attempts import Attempts

    def lose_nothing(self: Attempts) -> None:
        return None

    swap(Attempts, "lose_expired", lose_nothing)


def _stores_are_trusted() -> None:
    """A task starts from its local store as it is."""
    from penstock_streams.kit import runner

    async def no_catch_up(*_: object, **__: object) -> int:
        return 0

    swap(runner, "catch_up", no_catch_up)


def _every_process_its_own_transactional_id() -> None:
    """A new owner's producer fences nobody."""
    from penstock_streams.kit.producer import TransactionalProducer

    start = TransactionalProducer.start

    async def unfenced(self: TransactionalProducer) -> None:
        self._options["transactional_id"] = f"{self.transactional_id}-{os.getpid()}"
        await start(self)

    swap(TransactionalProducer, "start", unfenced)


def _offsets_first() -> None:
    """The loader commits a batch and then inserts it."""
    from penstock_consumers.loader.loader import Loader

    load_guarded = Loader._load

    async def load(self: Loader, batch: Any, consumer: Any, producer: Any) -> None:
        await consumer.commit(batch.next_offsets)
        await load_guarded(self, batch, consumer, producer)

    swap(Loader, "_load", load)


def _each_process_its_own_time() -> None:
    """Leases and timers go by the wall clock of whoever has the partition."""
    from penstock_streams.kit.clock import BrokerClock

    def stamped(self: BrokerClock, *_: int) -> None:
        return None

    swap(BrokerClock, "stamped", stamped)


def _any_time_is_credible() -> None:
    """A call is billed in the month in which its worker says that it happened."""
    from penstock_streams.accounts import charging

    def accounted_at_us(occurred_us: int, received_us: int) -> int:
        return occurred_us

    swap(charging, "accounted_at_us", accounted_at_us)


def _a_full_disk_fails_for_good() -> None:
    """A full disk is the execution's failure, not its worker's."""
    import msgspec

    from penstock_consumers.worker.run import Run
    from penstock_consumers.worker.slot import WorkerDiskFull

    judged_guarded = Run._judged

    def judged(self: Run, ended: Any) -> Any:
        if ended.error_type == WorkerDiskFull.__name__:
            ended = msgspec.structs.replace(ended, retryable=False)
        return judged_guarded(self, ended)

    swap(Run, "_judged", judged)


def main() -> None:
    guard, command = sys.argv[1:]
    switch_off(guard)
    from penstock.cli import main as run

    sys.argv = ["penstock", command]
    run()


if __name__ == "__main__":
    main()
