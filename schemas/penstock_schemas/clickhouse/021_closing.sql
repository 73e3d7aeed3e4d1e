-- A ledger line is a charge or the correction of one; both may be about a call of a month that was closed already.
ALTER TABLE ledger
    ADD COLUMN IF NOT EXISTS record_type LowCardinality(String) DEFAULT 'UsageCharged' COMMENT 'UsageCharged or ChargeAdjusted' AFTER line_id,
    ADD COLUMN IF NOT EXISTS adjusts_period LowCardinality(Nullable(String)) COMMENT 'Month the call belongs to, where that was closed already' AFTER period,
    ADD COLUMN IF NOT EXISTS corrected_by String COMMENT 'ChargeAdjusted: event_id of the CorrectUsage' AFTER wasted,
    ADD COLUMN IF NOT EXISTS reason String COMMENT 'ChargeAdjusted: why, in the operator''s words' AFTER corrected_by;

ALTER TABLE accounts_events
    ADD COLUMN IF NOT EXISTS partition Int32 COMMENT 'PeriodClosed: partition of the accounts topics that decided it' AFTER wasted_nanousd,
    ADD COLUMN IF NOT EXISTS closed_by String COMMENT 'PeriodClosed: event_id of the ClosePeriod' AFTER partition,
    ADD COLUMN IF NOT EXISTS refused_event_id String COMMENT 'Of the command that was refused' AFTER closed_by;

CREATE OR REPLACE VIEW v_periods AS
SELECT period, min(occurred_at) AS closed_at, uniqExact(partition) AS partitions
FROM accounts_events
WHERE record_type = 'PeriodClosed'
GROUP BY period;

ALTER TABLE v_periods MODIFY COMMENT 'The accounting months that were closed, and in how many partitions';
