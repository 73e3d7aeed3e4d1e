-- The roll-up for dashboards that show days and weeks: how executions stand, by the hours in which they were requested and
-- ended. It is made anew of the events of the last 32 days, so that whatever was repeated or came late counts once, and
-- replaced as a whole. That covers every "this month" and "last 30 days"; panels about anything earlier read the events.
-- Roll-ups begin at different seconds of a minute, not all at once.
CREATE TABLE IF NOT EXISTS executions_hourly
(
    tenant_id LowCardinality(String),
    requested_hour DateTime('UTC') COMMENT 'Start of the hour of the first event',
    ended_hour DateTime('UTC') COMMENT 'Start of the hour of the final event; 1970 of those that have none',
    status LowCardinality(String) COMMENT 'As in v_executions',
    executions UInt64,
    took_s AggregateFunction(quantiles(0.5, 0.95, 0.99), Float64) COMMENT 'From the first event to the final one; quantilesMerge(0.5, 0.95, 0.99) reads it',
    refreshed_at DateTime('UTC') COMMENT 'When the events were read'
)
ENGINE = MergeTree
ORDER BY (tenant_id, requested_hour, status)
COMMENT 'Executions of the last 32 days by hour, tenant and status; at most five minutes old';

CREATE MATERIALIZED VIEW IF NOT EXISTS executions_hourly_refresh
REFRESH EVERY 5 MINUTE OFFSET 20 SECOND TO executions_hourly AS
SELECT
    tenant_id,
    toStartOfHour(toDateTime(requested_at, 'UTC')) AS requested_hour,
    toStartOfHour(toDateTime(ended_at, 'UTC')) AS ended_hour,
    status,
    count() AS executions,
    quantilesStateIf(0.5, 0.95, 0.99)(dateDiff('millisecond', requested_at, ended_at) / 1000, ended_at > 0) AS took_s,
    now('UTC') AS refreshed_at
FROM
(
    SELECT
        tenant_id,
        argMax(transform(record_type,
            ['ExecutionQueued', 'ExecutionAdmitted', 'ExecutionRejected', 'AttemptStarted', 'AttemptLost',
             'AttemptFailed', 'ExecutionCompleted', 'ExecutionFailed', 'ExecutionTimedOut', 'ExecutionCancelled'],
            ['queued', 'admitted', 'rejected', 'running', 'admitted',
             'admitted', 'completed', 'failed', 'timed_out', 'cancelled'], ''), kafka_offset) AS status,
        min(occurred_at) AS requested_at,
        maxIf(occurred_at, record_type IN ('ExecutionCompleted', 'ExecutionFailed', 'ExecutionTimedOut',
            'ExecutionCancelled', 'ExecutionRejected')) AS ended_at
    FROM executions_events
    WHERE occurred_at >= now('UTC') - INTERVAL 32 DAY
        AND record_type NOT IN ('StaleAttemptReported', 'RequestRefused', 'CancelRefused')
    GROUP BY tenant_id, execution_id
)
GROUP BY tenant_id, requested_hour, ended_hour, status;

ALTER TABLE executions_hourly_refresh MODIFY COMMENT 'Makes executions_hourly anew every five minutes; system.view_refreshes says how it went';
