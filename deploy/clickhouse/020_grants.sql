-- Made by `penstock clickhouse access`; do not edit. See docs/access-control.md.

REVOKE ALL ON *.* FROM penstock_owner;

REVOKE ALL ON *.* FROM penstock_loader;

REVOKE ALL ON *.* FROM penstock_reader;

REVOKE ALL ON *.* FROM penstock_analyst;

REVOKE ALL ON *.* FROM penstock_tenant;

GRANT SELECT, INSERT, ALTER, CREATE DATABASE, CREATE TABLE, CREATE VIEW, DROP TABLE, DROP VIEW, OPTIMIZE, SHOW ON penstock.* TO penstock_owner;

GRANT SELECT ON penstock.* TO penstock_reader;

GRANT INSERT, SHOW COLUMNS ON penstock.accounts_events TO penstock_loader;

GRANT INSERT, SHOW COLUMNS ON penstock.conversations_events TO penstock_loader;

GRANT INSERT, SHOW COLUMNS ON penstock.dead_letters TO penstock_loader;

GRANT INSERT, SHOW COLUMNS ON penstock.executions_events TO penstock_loader;

GRANT INSERT, SHOW COLUMNS ON penstock.executions_progress TO penstock_loader;

GRANT INSERT, SHOW COLUMNS ON penstock.ledger TO penstock_loader;

GRANT INSERT, SHOW COLUMNS ON penstock.pipelines_events TO penstock_loader;

GRANT INSERT, SHOW COLUMNS ON penstock.price_events TO penstock_loader;

GRANT INSERT, SHOW COLUMNS ON penstock.usage_quarantine TO penstock_loader;

GRANT SELECT ON penstock.accounts_events TO penstock_analyst;

GRANT SELECT ON penstock.closed_bills TO penstock_analyst;

GRANT SELECT ON penstock.conversations_events TO penstock_analyst;

GRANT SELECT ON penstock.executions_events TO penstock_analyst;

GRANT SELECT ON penstock.executions_hourly TO penstock_analyst;

GRANT SELECT ON penstock.executions_progress TO penstock_analyst;

GRANT SELECT ON penstock.ledger TO penstock_analyst;

GRANT SELECT ON penstock.pipelines_events TO penstock_analyst;

GRANT SELECT ON penstock.price_events TO penstock_analyst;

GRANT SELECT ON penstock.spend_hourly TO penstock_analyst;

GRANT SELECT ON penstock.spend_origins TO penstock_analyst;

GRANT SELECT ON penstock.usage_quarantine TO penstock_analyst;

GRANT SELECT ON penstock.v_adjustments TO penstock_analyst;

GRANT SELECT ON penstock.v_artifacts TO penstock_analyst;

GRANT SELECT ON penstock.v_attempts TO penstock_analyst;

GRANT SELECT ON penstock.v_bill TO penstock_analyst;

GRANT SELECT ON penstock.v_bill_conversations TO penstock_analyst;

GRANT SELECT ON penstock.v_bill_pipelines TO penstock_analyst;

GRANT SELECT ON penstock.v_closed_bills TO penstock_analyst;

GRANT SELECT ON penstock.v_conversation_costs TO penstock_analyst;

GRANT SELECT ON penstock.v_conversation_turns TO penstock_analyst;

GRANT SELECT ON penstock.v_conversations TO penstock_analyst;

GRANT SELECT ON penstock.v_executions TO penstock_analyst;

GRANT SELECT ON penstock.v_periods TO penstock_analyst;

GRANT SELECT ON penstock.v_pipeline_costs TO penstock_analyst;

GRANT SELECT ON penstock.v_pipeline_stages TO penstock_analyst;

GRANT SELECT ON penstock.v_pipelines TO penstock_analyst;

GRANT SELECT ON penstock.v_prices TO penstock_analyst;

GRANT SELECT ON penstock.v_spend_daily TO penstock_analyst;

GRANT SELECT ON penstock.v_spend_hourly TO penstock_analyst;

GRANT SELECT ON penstock.v_spend_wasted TO penstock_analyst;

GRANT SELECT ON penstock.v_tenants TO penstock_analyst;

GRANT SELECT ON penstock.v_unbilled TO penstock_analyst;

GRANT SELECT ON penstock.v_usage_lines TO penstock_analyst;

GRANT SELECT ON penstock.v_usage_quarantined TO penstock_analyst;

GRANT SELECT ON penstock.v_usage_unresolved TO penstock_analyst;

GRANT SELECT ON penstock.v_users TO penstock_analyst;

GRANT SELECT ON penstock.accounts_events TO penstock_tenant;

GRANT SELECT ON penstock.closed_bills TO penstock_tenant;

GRANT SELECT ON penstock.conversations_events TO penstock_tenant;

GRANT SELECT ON penstock.executions_events TO penstock_tenant;

GRANT SELECT ON penstock.executions_hourly TO penstock_tenant;

GRANT SELECT ON penstock.executions_progress TO penstock_tenant;

GRANT SELECT ON penstock.ledger TO penstock_tenant;

GRANT SELECT ON penstock.pipelines_events TO penstock_tenant;

GRANT SELECT ON penstock.spend_hourly TO penstock_tenant;

GRANT SELECT ON penstock.spend_origins TO penstock_tenant;

GRANT SELECT ON penstock.usage_quarantine TO penstock_tenant;

GRANT SELECT ON penstock.v_adjustments TO penstock_tenant;

GRANT SELECT ON penstock.v_artifacts TO penstock_tenant;

GRANT SELECT ON penstock.v_attempts TO penstock_tenant;

GRANT SELECT ON penstock.v_bill TO penstock_tenant;

GRANT SELECT ON penstock.v_bill_conversations TO penstock_tenant;

GRANT SELECT ON penstock.v_bill_pipelines TO penstock_tenant;

GRANT SELECT ON penstock.v_closed_bills TO penstock_tenant;

GRANT SELECT ON penstock.v_conversation_costs TO penstock_tenant;

GRANT SELECT ON penstock.v_conversation_turns TO penstock_tenant;

GRANT SELECT ON penstock.v_conversations TO penstock_tenant;

GRANT SELECT ON penstock.v_executions TO penstock_tenant;

GRANT SELECT ON penstock.v_pipeline_costs TO penstock_tenant;

GRANT SELECT ON penstock.v_pipeline_stages TO penstock_tenant;

GRANT SELECT ON penstock.v_pipelines TO penstock_tenant;

GRANT SELECT ON penstock.v_spend_daily TO penstock_tenant;

GRANT SELECT ON penstock.v_spend_hourly TO penstock_tenant;

GRANT SELECT ON penstock.v_spend_wasted TO penstock_tenant;

GRANT SELECT ON penstock.v_tenants TO penstock_tenant;

GRANT SELECT ON penstock.v_unbilled TO penstock_tenant;

GRANT SELECT ON penstock.v_usage_lines TO penstock_tenant;

GRANT SELECT ON penstock.v_usage_quarantined TO penstock_tenant;

GRANT SELECT ON penstock.v_usage_unresolved TO penstock_tenant;

GRANT SELECT ON penstock.v_users TO penstock_tenant;
