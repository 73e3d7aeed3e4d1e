-- Made by `penstock clickhouse access`; do not edit. See docs/access-control.md.

CREATE SETTINGS PROFILE OR REPLACE penstock_tenant_limits SETTINGS readonly = 2 CONST, max_execution_time = 30 CONST, max_memory_usage = 2000000000 CONST, max_threads = 2 CONST, max_concurrent_queries_for_user = 4 CONST, max_result_rows = 1000000 CONST, allow_ddl = 0 CONST, allow_introspection_functions = 0 CONST TO penstock_tenant;

CREATE SETTINGS PROFILE OR REPLACE penstock_analyst_limits SETTINGS readonly = 2 CONST, max_execution_time = 300 MAX 600, max_memory_usage = 8000000000 MAX 16000000000, allow_ddl = 0 CONST TO penstock_analyst;

CREATE QUOTA OR REPLACE penstock_tenant_quota KEYED BY user_name FOR INTERVAL 1 hour MAX queries = 3600, errors = 600, read_rows = 2000000000, execution_time = 1200 TO penstock_tenant;

CREATE QUOTA OR REPLACE penstock_analyst_quota KEYED BY user_name FOR INTERVAL 1 hour MAX queries = 10000, read_rows = 100000000000, execution_time = 7200 TO penstock_analyst;
