"""What accounts keeps, one partition's tenants side by side. Keys name the kind of row, then its identity."""

from __future__ import annotations

from typing import Literal

import msgspec
from msgspec.structs import replace

from penstock_streams.accounts.budget import ZERO, Amount, Budget
from penstock_streams.kit import Row
from penstock_streams.work import Work


class Tenant(Row, frozen=True, tag="tenant"):
    """A tenant's limits in force, and how much of them is used."""

    tier: str
    concurrency: int
    queue_limit: int
    suspended: bool
    active: int = 0
    """Executions admitted and not settled."""
    head: int = 0
    """Arrival number of the first waiting request."""
    tail: int = 0
    """Arrival number the next waiting request gets."""
    cancelled: int = 0
    """Arrival numbers between head and tail whose requests were cancelled while they waited."""

    @property
    def waiting(self) -> int:
        return self.tail - self.head - self.cancelled


class Answer(Row, frozen=True, omit_defaults=True, tag="answer"):
    """What a request was told; kept so that the same request_id is answered once."""

    tenant_id: str
    request_digest: str
    state: Literal["admitted", "queued", "rejected", "settled"]
    arrival: int = 0
    """Arrival number, while it is queued."""
    accepted_epoch: int | None = None
    """The attempt whose result counts, once it is settled."""
    pipeline_id: str | None = None
    """What the run is part of, as is the one below; what is charged for it says so."""
    conversation_id: str | None = None


class Waiting(Row, frozen=True, tag="waiting"):
    """A request in its tenant's queue."""

    work: Work


class Charged(msgspec.Struct, frozen=True, array_like=True):
    """What a call was charged so far, over all its lines."""

    counts: tuple[int, ...]
    """In the order of `COUNTS`."""
    nanousd: int


class Counted(Row, frozen=True, omit_defaults=True, tag="counted"):
    """A usage_id that was charged or quarantined; a second report of it changes nothing."""

    at_us: int = 0
    """The moment that decides its month and price."""
    made_by: bytes = b""
    """Digest of who made the call, with which model: a correction says it again."""
    charged: Charged | None = None
    """None while it is in quarantine."""
    waits_for_price: bool = False
    pipeline_id: str | None = None
    """As its first line says, as does the one below: corrections come after the execution is forgotten."""
    conversation_id: str | None = None
    corrected_by: tuple[str, ...] = ()
    """Event ids of the latest corrections, so that one which arrives again later does not undo those after it."""


class PriceVersion(msgspec.Struct, frozen=True, array_like=True):
    """An operator's price of one model from one moment on; nano-USD, microseconds."""

    effective_from: int
    version: str
    input_nanousd_per_mtok: int
    cache_read_nanousd_per_mtok: int
    cache_write_nanousd_per_mtok: int
    output_nanousd_per_mtok: int
    tool_call_nanousd: int
    cpu_second_nanousd: int
    gb_second_nanousd: int


class Prices(Row, frozen=True, tag="prices"):
    """Every price the operator ever listed for one model name, by effective date."""

    versions: tuple[PriceVersion, ...]


class Unpriced(Row, frozen=True, tag="unpriced"):
    """The calls of one model that wait for a price: a queue with holes, walked when one is listed."""

    head: int = 0
    """Number of the first call that waits."""
    tail: int = 0
    """Number the next one gets."""
    cursor: int = 0
    """Where the walk goes on; meaningful while its timer is set."""


class UnpricedCall(Row, frozen=True, tag="unpriced-call"):
    """A quarantined call, as it will be charged."""

    at_us: int
    """The moment whose price counts."""
    line: dict[str, str | int | None]
    """The fields of its UsageCharged but for cost and price."""


class OpenCall(msgspec.Struct, frozen=True, array_like=True):
    """A provider call that was started and not reported."""

    usage_id: str
    epoch: int
    call_seq: int
    model: str
    cap_tokens: int


class Spent(msgspec.Struct, frozen=True, array_like=True):
    """What one attempt was charged in one month."""

    epoch: int
    period: str
    amount: Amount


class Reservation(Row, frozen=True, tag="reservation"):
    """What one execution may use, for all its attempts, while it has not ended."""

    tenant_id: str
    user_id: str | None
    agent_type: str
    budgets: tuple[str, ...]
    """Keys of the budgets it counts in."""
    ceiling: Amount
    binding: bool
    """Some budget was hard, so a run beyond its reservation is stopped."""
    used: Amount = ZERO
    spent: tuple[Spent, ...] = ()
    calls: tuple[OpenCall, ...] = ()
    stopped: bool = False
    pool: str | None = None
    """Key of what its pipeline has reserved, which gets back what it leaves."""
    dollars_bind: bool = True
    """One of those budgets was in dollars. Otherwise a request need not name a model, and reserves none."""

    @property
    def left(self) -> Amount:
        return (self.ceiling - self.used).at_least_zero()

    @property
    def overdrawn(self) -> bool:
        """Whether the run is to be stopped for what it used."""
        over = self.used - self.ceiling
        return self.binding and (over.tokens > 0 or (self.dollars_bind and over.nanousd > 0))

    def draw(self, usage_id: str, epoch: int, period: str, cost: Amount) -> Reservation:
        """With one more charge, whose call is no longer open."""
        same = [spent for spent in self.spent if (spent.epoch, spent.period) == (epoch, period)]
        others = tuple(spent for spent in self.spent if spent not in same)
        total = cost + same[0].amount if same else cost
        return replace(
            self,
            used=self.used + cost,
            spent=(*others, Spent(epoch, period, total)),
            calls=tuple(call for call in self.calls if call.usage_id != usage_id),
        )


class Pool(Row, frozen=True, tag="pool"):
    """What a pipeline has reserved and no stage of it holds now."""

    tenant_id: str
    budgets: tuple[str, ...]
    """Keys of the budgets it counts in."""
    left: Amount
    binding: bool
    """As of a Reservation."""
    closed: bool = False
    """It was released or refused, and is remembered so that the same command does not reserve again."""
    dollars_bind: bool = True
    """As of a Reservation."""


class Unresolved(Row, frozen=True, tag="unresolved"):
    """What stays reserved for a call that was never reported."""

    budgets: tuple[str, ...]
    reserved: Amount


class Closed(Row, frozen=True, tag="closed"):
    """Which months are sealed."""

    period: str
    """The last one; every earlier one is, too."""


CLOSED_KEY = "closed"

ROW_TYPES = (
    *(Tenant, Answer, Waiting, Counted),
    *(Prices, Unpriced, UnpricedCall),
    *(Budget, Reservation, Pool, Unresolved, Closed),
)


def tenant_key(tenant_id: str) -> str:
    return f"tenant/{tenant_id}"


def answer_key(execution_id: str) -> str:
    return f"answer/{execution_id}"


def waiting_key(tenant_id: str, number: int) -> str:
    return f"waiting/{tenant_id}/{number}"


def release_name(tenant_id: str) -> str:
    """Name of the timer that goes on releasing a long queue."""
    return f"release/{tenant_id}"


def counted_key(tenant_id: str, usage_id: str) -> str:
    return f"counted/{tenant_id}/{usage_id}"


def budget_key(tenant_id: str, user_id: str | None = None) -> str:
    """Of the tenant itself, or of one of its users."""
    return f"budget/{tenant_id}" if user_id is None else f"budget/{tenant_id}/{user_id}"


def user_of_budget_key(key: str) -> str | None:
    """Whose budget it is; None for the tenant's own. Tenant ids have no slash."""
    _, _, user_id = key.removeprefix("budget/").partition("/")
    return user_id or None


def reservation_key(execution_id: str) -> str:
    return f"reservation/{execution_id}"


def pool_key(reservation_id: str) -> str:
    return f"pool/{reservation_id}"


def unresolved_key(tenant_id: str, usage_id: str) -> str:
    return f"unresolved/{tenant_id}/{usage_id}"


def price_key(model: str) -> str:
    return f"price/{model}"


def unpriced_key(model: str) -> str:
    return f"unpriced/{model}"


def unpriced_call_key(model: str, number: int) -> str:
    return f"unpriced-call/{model}/{number}"


def reprice_name(model: str) -> str:
    """Name of the timer that goes on charging a model's unpriced calls."""
    return f"reprice/{model}"
