CREATE OR REPLACE VIEW v_unbilled AS
SELECT tenant_id, period, model, reason, uniqExact(usage_id) AS calls
FROM usage_quarantine
WHERE (tenant_id, usage_id) NOT IN (SELECT tenant_id, usage_id FROM ledger)
GROUP BY tenant_id, period, model, reason;

ALTER TABLE v_unbilled MODIFY COMMENT 'Calls that are on no bill yet, by the reason';
