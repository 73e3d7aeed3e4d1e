"""What ClickHouse bills for a month, read from where `penstock bill` reads it."""

from __future__ import annotations

from typing import Any

from penstock.billing import ORIGINS, TOTAL
from penstock_services.audit.recount import PartKey

FROM_LINES = """
    SELECT tenant_id, 'total' AS section, '' AS name, sum(cost_nanousd)
    FROM v_bill WHERE period = {month:String} GROUP BY tenant_id
    UNION ALL
    SELECT tenant_id, 'pipeline', pipeline_id, cost_nanousd FROM v_bill_pipelines WHERE period = {month:String}
    UNION ALL
    SELECT tenant_id, 'conversation', conversation_id, cost_nanousd
    FROM v_bill_conversations WHERE period = {month:String}
"""
FROM_SUMS = f"""
    SELECT tenant_id, section, ifNull(name, ''), cost_nanousd
    FROM v_closed_bills
    WHERE period = {{month:String}} AND section IN {(TOTAL, *ORIGINS)} AND tenant_id IN (
        SELECT tenant_id
        FROM (
            SELECT tenant_id, count() AS lines FROM ledger WHERE period = {{month:String}} GROUP BY tenant_id
        ) AS l
        JOIN v_closed_bills AS s ON s.tenant_id = l.tenant_id AND s.lines = l.lines
        WHERE s.period = {{month:String}} AND s.section = '{TOTAL}'
    )
"""
"""Of the tenants whose sums are of every line the ledger has."""


def read_bills(clickhouse: Any, month: str) -> tuple[dict[str, int], dict[PartKey, int]]:
    """Nano-USD by tenant, and what of it is for each pipeline and each conversation.

    Args:
        clickhouse: a client of clickhouse-connect.
        month: YYYY-MM.
    """
    lines, sums = (
        clickhouse.query(query, parameters={"month": month}).result_rows for query in (FROM_LINES, FROM_SUMS)
    )
    summed = {tenant for tenant, *_ in sums}
    rows = [*sums, *(row for row in lines if row[0] not in summed)]
    bills = {tenant: int(cost) for tenant, section, _, cost in rows if section == TOTAL}
    parts = {(tenant, section, name): int(cost) for tenant, section, name, cost in rows if section != TOTAL}
    return bills, parts
