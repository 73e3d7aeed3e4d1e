"""Taking a partition over, and what a crash after each step costs: nothing, the next owner does the same again.

(a) start the producer, always: it fences the owner before us, who may not know it lost anything, and ends
    the transaction it may have left open;
(b) bring the store up to the last visible record of the changelog, which includes the input positions;
(c) seek the inputs to those positions. What reads on from there is the task.
"""

from __future__ import annotations

from collections.abc import Callable

from aiokafka import TopicPartition

from penstock_streams.kit.later import Timers
from penstock_streams.kit.parts import TaskParts
from penstock_streams.kit.positions import check_range, starting_position
from penstock_streams.kit.rows import POSITION_KEY, Position, decode_position


async def take_over(parts: TaskParts, timers: Timers, waits_for: Callable[[str], None]) -> None:
    """Steps (a) and (b).

    Args:
        timers: of the parts' store, not loaded yet.
        waits_for: told what is waited for.
    """
    facts = parts.facts
    waits_for("the previous owner's transaction to end")
    await parts.producer.start()
    waits_for("its table to be rebuilt")
    await parts.recover(
        parts.store,
        TopicPartition(facts.changelog, facts.partition),
        parts.client_options,
        clock=parts.clock,
        delete_retention_s=parts.settings.delete_retention_s,
    )
    waits_for("the next of its timers")
    await timers.load(parts.clock())


async def seek(parts: TaskParts, task: str) -> tuple[Position, set[str]]:
    """Step (c), once the inputs are open.

    Returns:
        The position they were sought to, and the inputs that were certainly read from before.

    Raises:
        PositionLost, PartitionCountMismatch, PositionOutOfRange: see `positions`.
    """
    facts = parts.facts
    begin, end = await parts.inputs.begin_offsets(), await parts.inputs.end_offsets()
    raw = parts.store.get(POSITION_KEY)
    stored = None if raw is None else decode_position(raw)
    committed: dict[str, int] = {}
    if stored is None or any(topic not in stored.next_offsets for topic in begin):
        of_group = await parts.committed()
        committed = {tp.topic: at for tp, at in of_group.items() if tp.partition == facts.partition}
    position = starting_position(
        task,
        stored,
        table_is_empty=parts.store.is_empty(),
        committed={topic: at for topic, at in committed.items() if topic in begin},
        begin=begin,
        partitions=facts.partitions[facts.stage.inputs[0].name],
    )
    check_range(task, position, begin, end)
    parts.inputs.seek(position.next_offsets)
    return position, {topic for topic, start in begin.items() if position.next_offsets[topic] > start}
