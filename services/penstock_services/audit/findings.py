"""What an audit found."""

from __future__ import annotations

from dataclasses import dataclass, field

Key = tuple[str, str]
"""(tenant_id, usage_id)."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One disagreement between two sources. Amounts in nano-USD."""

    tenant_id: str
    usage_id: str
    what: str
    expected_nanousd: int | None = None
    found_nanousd: int | None = None


@dataclass
class Findings:
    """The outcome of an audit of one month."""

    month: str
    usage_records: int = 0
    charged_lines: int = 0
    ledger_lines: int = 0
    quarantined: int = 0
    usage_nanousd: int = 0
    """Recounted from RecordUsage with this module's own arithmetic."""
    charged_nanousd: int = 0
    ledger_nanousd: int = 0
    billed_nanousd: int = 0
    differences: list[Difference] = field(default_factory=list)
