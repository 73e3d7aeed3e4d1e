-- The sums of bills of closed months, which no longer change, made once a month has been compacted. A bill is read from
-- here where `lines` is as many as the ledger has, repeats included: so never from sums that lack one.
CREATE TABLE IF NOT EXISTS closed_bills
(
    tenant_id LowCardinality(String),
    period LowCardinality(String) COMMENT 'Accounting month, YYYY-MM, UTC',
    section LowCardinality(String) COMMENT 'total, or what it is broken down by: model, user, agent, pipeline, conversation',
    name Nullable(String) COMMENT 'Of the model, user and so on; null for lines without one',
    calls UInt64,
    input_tokens Int64,
    cache_read_tokens Int64,
    cache_write_tokens Int64,
    output_tokens Int64,
    cost_nanousd Int64,
    lines UInt64 COMMENT 'Of the ledger in these sums'
)
ENGINE = MergeTree
PARTITION BY period
ORDER BY (tenant_id, section)
COMMENT 'What bills of closed months add up to; v_bill, from the ledger, is always right, too';

-- Where a month is summed, before it replaces what there was.
CREATE TABLE IF NOT EXISTS closed_bills_in_the_making AS closed_bills
ENGINE = MergeTree
PARTITION BY period
ORDER BY (tenant_id, section);

CREATE OR REPLACE VIEW v_closed_bills AS
SELECT
    tenant_id, period, section, name, calls, input_tokens, cache_read_tokens, cache_write_tokens, output_tokens,
    cost_nanousd, lines
FROM closed_bills;

ALTER TABLE v_closed_bills MODIFY COMMENT 'The sums of bills of closed months, as they were when these were summed up';
