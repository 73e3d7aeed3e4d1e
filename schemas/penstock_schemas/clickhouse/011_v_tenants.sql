CREATE OR REPLACE VIEW v_tenants AS
SELECT
    tenant_id,
    argMax(tier, kafka_offset) AS tier,
    argMax(concurrency, kafka_offset) AS concurrency,
    argMax(queue_limit, kafka_offset) AS queue_limit,
    argMax(suspended, kafka_offset) AS suspended,
    max(occurred_at) AS configured_at
FROM accounts_events
WHERE record_type = 'TenantConfigured'
GROUP BY tenant_id;

ALTER TABLE v_tenants MODIFY COMMENT 'The limits in force for every tenant that was configured';
