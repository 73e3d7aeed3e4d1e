"""A stage that counts: each command of a tenant adds one to its row and writes the new count."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from penstock_schemas.records import ConfigureTenant, TenantConfigured
from penstock_schemas.topics import Topic
from penstock_streams.kit import Decision, Event, Output, Row, Rows, Stage, Timer, TimerDue


class Count(Row, frozen=True, tag="count"):
    """How many commands of one tenant were counted."""

    n: int


class Text(Row, frozen=True, tag="text"):
    """A row of a size the test chooses."""

    text: str


def command(tenant_id: str, what: str = "", n: int | None = None) -> ConfigureTenant:
    """A command; `what` may order the stage around, see `counting_stage`."""
    return ConfigureTenant(event_id="e", occurred_at=1, tenant_id=tenant_id, tier=what, concurrency=n)


def counting_stage(name: str, inputs: tuple[Topic, ...], out: Topic, **more: Any) -> Stage:
    """The stage. A command whose `tier` is `timer` or `grace` sets a timer due at `concurrency` milliseconds
    from now, `cancel` cancels it, `big` writes an output and `bigrow` a row of `concurrency` characters,
    `raise` fails after it put, `number` puts a row that cannot be read back."""

    def counted(rows: Rows, tenant_id: str, what: str) -> Decision:
        row = rows.get(tenant_id, Count) or Count(0)
        event = TenantConfigured(
            tenant_id=tenant_id, tier=what, concurrency=row.n + 1, queue_limit=0, suspended=False
        )
        return Decision(puts={tenant_id: Count(row.n + 1)}, outputs=[Output(out, event)])

    def decide(rows: Rows, event: Event | TimerDue, now: int) -> Decision:
        if isinstance(event, TimerDue):
            return counted(rows, event.name, "fired")
        given = event.record
        assert isinstance(given, ConfigureTenant)
        decision = counted(rows, given.tenant_id, given.tier)
        size = given.concurrency or 0
        match given.tier:
            case "timer" | "grace":
                due = now + size * 1000
                decision.timers.append(Timer(given.tenant_id, due, after_grace=given.tier == "grace"))
            case "cancel":
                decision.timers.append(Timer(given.tenant_id, None))
            case "big":
                written = decision.outputs[0].record.model_copy(update={"tier": "x" * size})
                decision.outputs[0] = Output(out, written)
            case "bigrow":
                decision.puts["text"] = Text("x" * size)
            case "number":
                decision.puts["text"] = Text(size)  # type: ignore[arg-type]
            case "raise":
                raise ArithmeticError("asked to")
        return decision

    return Stage(name, inputs, (out,), (Count, Text), decide, **more)


Build = Callable[..., Stage]
