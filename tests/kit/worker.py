"""The counting stage in a process of its own, for faults that end one: `python -m tests.kit.worker <json>`."""

from __future__ import annotations

import json
import logging
import os
import sys
from pathlib import Path

import uvloop

from penstock_streams.kit import producer, run_stages, runner
from tests.kit.world import World


def without(guard: str) -> None:
    """Switch one guard off, for controls."""
    match guard:
        case "fencing":  # a transactional id of its own fences nobody
            start = producer.TransactionalProducer.start

            async def unfenced(self: producer.TransactionalProducer) -> None:
                self._options["transactional_id"] = f"{self.transactional_id}-{os.getpid()}"
                await start(self)

            producer.TransactionalProducer.start = unfenced  # type: ignore[method-assign]
        case "recovery":  # trust the local store as it is

            async def no_catch_up(*_: object, **__: object) -> int:
                return 0

            setattr(runner, "catch_up", no_catch_up)  # noqa: B010


async def main(bootstrap: str, registry_url: str, folder: str, partitions: int, world_id: str, guard: str) -> None:
    without(guard)
    world = World(bootstrap, registry_url, Path(folder), partitions, world_id)
    settings = world.settings(store="rocksdb", max_batch_records=50, session_timeout_s=2, transaction_timeout_s=4)
    async with world.codec() as codec:
        await run_stages([world.stage], settings, codec, kafka=world.kafka)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    uvloop.run(main(*json.loads(sys.argv[1])))
