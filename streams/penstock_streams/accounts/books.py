"""The budgets one decision touches: read once, changed in memory, written once. Pure.

A reservation counts in the budgets that existed when it was made, and gives back to those. Spending counts in
every budget there is now: one configured in the middle of a run starts with what the run spends from then on.
"""

from __future__ import annotations

from penstock_schemas import records as r
from penstock_schemas import topics
from penstock_streams.accounts import model as m
from penstock_streams.accounts.budget import Amount, Budget, Limits, Unit
from penstock_streams.kit import Decision, Output, Rows


class Books:
    """The budgets of one tenant and, where they have one, one user."""

    def __init__(self, rows: Rows, tenant_id: str) -> None:
        self._rows = rows
        self._tenant_id = tenant_id
        self._budgets: dict[str, Budget] = {}

    def keys(self, user_id: str | None) -> tuple[str, ...]:
        """The row keys of the budgets that bind a run of this user."""
        keys = [m.budget_key(self._tenant_id)]
        if user_id is not None and self._rows.get(key := m.budget_key(self._tenant_id, user_id), Budget):
            keys.append(key)
        return tuple(keys)

    def budget(self, key: str) -> Budget:
        """The budget as changed so far."""
        return self._budgets.get(key) or self._rows.get(key, Budget) or Budget()

    def roll(self, user_id: str | None, period: str) -> tuple[str, ...]:
        """Move the budgets of a run on to the month of now; returns their keys."""
        keys = self.keys(user_id)
        for key in keys:
            self._budgets[key] = self.budget(key).rolled(period)
        return keys

    def configure(self, key: str, limits: Limits) -> None:
        """Change limits; what is used stays."""
        self._budgets[key] = self.budget(key).with_limits(limits)

    def reserve(self, keys: tuple[str, ...], amount: Amount) -> None:
        """Reserve in each of `keys`; a negative amount gives back."""
        for key in keys:
            self._budgets[key] = self.budget(key).reserve(amount)

    def charge(self, user_id: str | None, amount: Amount, period: str) -> None:
        """Count `amount` as spent in `period`."""
        for key in self.keys(user_id):
            self._budgets[key] = self.budget(key).charge(amount, period)

    def left(self, keys: tuple[str, ...], unit: Unit) -> int | None:
        """What a new run may reserve, the tightest of `keys`; None where none has a limit."""
        lefts = [left for key in keys if (left := self.budget(key).left(unit)) is not None]
        return min(lefts, default=None)

    def into(self, decision: Decision) -> None:
        """Put what changed, and tell of thresholds that were reached."""
        for key, changed in self._budgets.items():
            budget, news = changed.crossed()
            if budget != self._rows.get(key, Budget):
                decision.puts[key] = budget
            for crossed in news:
                reached = r.BudgetThresholdReached(
                    tenant_id=self._tenant_id,
                    user_id=m.user_of_budget_key(key),
                    period=budget.period,
                    unit=crossed.unit,
                    percent=crossed.percent,
                    spent=crossed.spent,
                    budget=crossed.limit,
                )
                decision.outputs.append(Output(topics.ACCOUNTS_EVENTS, reached))
