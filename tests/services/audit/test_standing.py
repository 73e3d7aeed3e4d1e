"""The audit that goes on for ever: what Prometheus is shown."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from prometheus_client import REGISTRY

from penstock.errors import KafkaUnreachable
from penstock_services.audit.standing import audit_once, open_months


def shown(name: str, check: str) -> float | None:
    return REGISTRY.get_sample_value(f"penstock_audit_{name}", {"check": check})


@pytest.mark.parametrize(
    ("day", "months"),
    [(1, ["2026-10", "2026-11"]), (2, ["2026-10", "2026-11"]), (4, ["2026-11"]), (30, ["2026-11"])],
)
def test_a_month_is_recounted_until_no_call_can_be_dated_into_it(day: int, months: list[str]) -> None:
    assert open_months(datetime(2026, 11, day, 12, tzinfo=UTC)) == months


async def test_differences_are_shown_until_the_same_audit_finds_none() -> None:
    found = iter([2, 0])

    async def audit() -> int:
        return next(found)

    await audit_once({"t-months": audit})
    assert shown("differences", "t-months") == 2
    await audit_once({"t-months": audit})
    assert shown("differences", "t-months") == 0


async def test_an_audit_that_comes_to_no_end_is_counted_and_hides_neither_what_was_found_nor_the_others() -> None:
    away = False

    async def audit() -> int:
        if away:
            raise KafkaUnreachable("no broker answered")
        return 1

    async def other() -> int:
        return 0

    await audit_once({"t-away": audit})
    finished, away = shown("finished_timestamp_seconds", "t-away"), True
    await audit_once({"t-away": audit, "t-other": other})
    assert shown("failed_total", "t-away") == 1
    assert shown("differences", "t-away") == 1
    assert shown("finished_timestamp_seconds", "t-away") == finished
    assert shown("differences", "t-other") == 0
