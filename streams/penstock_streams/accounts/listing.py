"""The operator's price list: what may be listed, and the copy every partition keeps. Pure.

Every partition reads the same ListPrice records in the same order and decides from nothing but them and its own
copy, so all partitions list or refuse alike. Nothing here may depend on when a record was received.
"""

from __future__ import annotations

from bisect import insort

from penstock_schemas import records as r
from penstock_schemas import topics
from penstock_schemas.prices import AMOUNTS, MAX_PRICES_AT_ONCE, problem_with_price, version_of
from penstock_streams.accounts import model as m
from penstock_streams.accounts.closing import open_since
from penstock_streams.accounts.policy import Policy
from penstock_streams.accounts.repricing import reprice_models
from penstock_streams.accounts.validation import CLOCK_AHEAD_US, Problem
from penstock_streams.kit import Decision, Output, Rows

MAX_VERSIONS = 1_000
"""Of one model; they lie in one row, some 100 bytes each."""


def list_prices(rows: Rows, policy: Policy, command: r.ListPrice, partition: int, now: int) -> Decision:
    """Take over all prices of `command`, or refuse it for the first that cannot be.

    A price that is listed already is answered again and changes nothing.
    """
    known: dict[str, list[m.PriceVersion]] = {}
    listed: list[r.PriceListed] = []
    # Latest first, so that one command may list a model's whole history: see _overlap.
    for price in sorted(command.prices, key=lambda price: price.effective_from, reverse=True):
        row = rows.get(m.price_key(price.model), m.Prices)
        versions = known.setdefault(price.model, list(row.versions) if row else [])
        version = _version(price)
        if version not in versions:
            if problem := _problem(rows, command, price, versions):
                return _refused(command, partition, price, problem)
            insort(versions, version, key=lambda version: version.effective_from)
        listed.append(_listed(command, partition, price))
    decision = Decision(
        puts={m.price_key(model): m.Prices(tuple(versions)) for model, versions in known.items()},
        outputs=[Output(topics.ACCOUNTS_EVENTS, record) for record in listed],
    )
    reprice_models(rows, policy, known, now, decision)
    return decision


def _problem(
    rows: Rows, command: r.ListPrice, price: r.ListedPrice, versions: list[m.PriceVersion]
) -> Problem | None:
    if found := problem_with_price(price):
        return Problem("invalid_price", " ".join(found))
    if len(command.prices) > MAX_PRICES_AT_ONCE:
        return Problem("too_many_prices", f"{len(command.prices)} at once, above {MAX_PRICES_AT_ONCE}")
    if len(versions) >= MAX_VERSIONS:
        return Problem("too_many_prices", f"the model has {MAX_VERSIONS} prices by date already")
    since = open_since(rows)
    if since is not None and price.effective_from < since:
        return Problem("period_closed", "it would begin in an accounting period that is closed")
    if any(version.effective_from == price.effective_from for version in versions):
        return Problem("price_conflict", "another price is listed for the same model and effective date")
    return _overlap(command, price, versions)


def _overlap(command: r.ListPrice, price: r.ListedPrice, versions: list[m.PriceVersion]) -> Problem | None:
    """A price may begin in the past only where the operator had none in force: what was charged stays charged."""
    if price.effective_from >= command.occurred_at - CLOCK_AHEAD_US:
        return None
    before = [version for version in versions if version.effective_from < price.effective_from]
    if not before:
        return None
    return Problem(
        "overlapping",
        f"it would begin in the past, where {before[-1].version} was in force and usage charged at it",
    )


def _version(price: r.ListedPrice) -> m.PriceVersion:
    return m.PriceVersion(price.effective_from, version_of(price), *(getattr(price, name) for name in AMOUNTS))


def _listed(command: r.ListPrice, partition: int, price: r.ListedPrice) -> r.PriceListed:
    return r.PriceListed(
        tenant_id=r.SYSTEM_TENANT,
        partition=partition,
        listed_by=command.event_id,
        price_version=version_of(price),
        **price.model_dump(),
    )


def _refused(command: r.ListPrice, partition: int, price: r.ListedPrice, problem: Problem) -> Decision:
    refused = r.PriceRefused(
        tenant_id=r.SYSTEM_TENANT,
        partition=partition,
        refused_event_id=command.event_id,
        model=price.model,
        effective_from=price.effective_from,
        reason=problem.reason,
        detail=problem.detail,
    )
    return Decision(outputs=[Output(topics.ACCOUNTS_EVENTS, refused)])
