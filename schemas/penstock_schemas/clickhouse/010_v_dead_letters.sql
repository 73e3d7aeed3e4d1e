CREATE OR REPLACE VIEW v_dead_letters AS
SELECT
    event_id, tenant_id, occurred_at, source_topic, source_partition, source_offset, source_timestamp,
    stage, error_code, error_message, key, value, value_size, headers,
    length(value) = value_size AS complete
FROM dead_letters FINAL;

ALTER TABLE v_dead_letters MODIFY COMMENT 'Records that were given up on; complete ones can be replayed';
