-- Made by `penstock clickhouse access`; do not edit. See docs/access-control.md.

CREATE ROW POLICY OR REPLACE penstock_own_rows ON penstock.accounts_events FOR SELECT USING startsWith(currentUser(), 'tenant:') AND tenant_id = substring(currentUser(), 8) TO penstock_tenant;

CREATE ROW POLICY OR REPLACE penstock_all_rows ON penstock.accounts_events FOR SELECT USING 1 TO ALL EXCEPT penstock_tenant;

CREATE ROW POLICY OR REPLACE penstock_own_rows ON penstock.closed_bills FOR SELECT USING startsWith(currentUser(), 'tenant:') AND tenant_id = substring(currentUser(), 8) TO penstock_tenant;

CREATE ROW POLICY OR REPLACE penstock_all_rows ON penstock.closed_bills FOR SELECT USING 1 TO ALL EXCEPT penstock_tenant;

CREATE ROW POLICY OR REPLACE penstock_own_rows ON penstock.closed_bills_in_the_making FOR SELECT USING startsWith(currentUser(), 'tenant:') AND tenant_id = substring(currentUser(), 8) TO penstock_tenant;

CREATE ROW POLICY OR REPLACE penstock_all_rows ON penstock.closed_bills_in_the_making FOR SELECT USING 1 TO ALL EXCEPT penstock_tenant;

CREATE ROW POLICY OR REPLACE penstock_own_rows ON penstock.conversations_events FOR SELECT USING startsWith(currentUser(), 'tenant:') AND tenant_id = substring(currentUser(), 8) TO penstock_tenant;

CREATE ROW POLICY OR REPLACE penstock_all_rows ON penstock.conversations_events FOR SELECT USING 1 TO ALL EXCEPT penstock_tenant;

CREATE ROW POLICY OR REPLACE penstock_own_rows ON penstock.dead_letters FOR SELECT USING startsWith(currentUser(), 'tenant:') AND tenant_id = substring(currentUser(), 8) TO penstock_tenant;

CREATE ROW POLICY OR REPLACE penstock_all_rows ON penstock.dead_letters FOR SELECT USING 1 TO ALL EXCEPT penstock_tenant;

CREATE ROW POLICY OR REPLACE penstock_own_rows ON penstock.executions_events FOR SELECT USING startsWith(currentUser(), 'tenant:') AND tenant_id = substring(currentUser(), 8) TO penstock_tenant;

CREATE ROW POLICY OR REPLACE penstock_all_rows ON penstock.executions_events FOR SELECT USING 1 TO ALL EXCEPT penstock_tenant;

CREATE ROW POLICY OR REPLACE penstock_own_rows ON penstock.executions_hourly FOR SELECT USING startsWith(currentUser(), 'tenant:') AND tenant_id = substring(currentUser(), 8) TO penstock_tenant;

CREATE ROW POLICY OR REPLACE penstock_all_rows ON penstock.executions_hourly FOR SELECT USING 1 TO ALL EXCEPT penstock_tenant;

CREATE ROW POLICY OR REPLACE penstock_own_rows ON penstock.executions_progress FOR SELECT USING startsWith(currentUser(), 'tenant:') AND tenant_id = substring(currentUser(), 8) TO penstock_tenant;

CREATE ROW POLICY OR REPLACE penstock_all_rows ON penstock.executions_progress FOR SELECT USING 1 TO ALL EXCEPT penstock_tenant;

CREATE ROW POLICY OR REPLACE penstock_own_rows ON penstock.ledger FOR SELECT USING startsWith(currentUser(), 'tenant:') AND tenant_id = substring(currentUser(), 8) TO penstock_tenant;

CREATE ROW POLICY OR REPLACE penstock_all_rows ON penstock.ledger FOR SELECT USING 1 TO ALL EXCEPT penstock_tenant;

CREATE ROW POLICY OR REPLACE penstock_own_rows ON penstock.pipelines_events FOR SELECT USING startsWith(currentUser(), 'tenant:') AND tenant_id = substring(currentUser(), 8) TO penstock_tenant;

CREATE ROW POLICY OR REPLACE penstock_all_rows ON penstock.pipelines_events FOR SELECT USING 1 TO ALL EXCEPT penstock_tenant;

CREATE ROW POLICY OR REPLACE penstock_own_rows ON penstock.price_events FOR SELECT USING startsWith(currentUser(), 'tenant:') AND tenant_id = substring(currentUser(), 8) TO penstock_tenant;

CREATE ROW POLICY OR REPLACE penstock_all_rows ON penstock.price_events FOR SELECT USING 1 TO ALL EXCEPT penstock_tenant;

CREATE ROW POLICY OR REPLACE penstock_own_rows ON penstock.spend_hourly FOR SELECT USING startsWith(currentUser(), 'tenant:') AND tenant_id = substring(currentUser(), 8) TO penstock_tenant;

CREATE ROW POLICY OR REPLACE penstock_all_rows ON penstock.spend_hourly FOR SELECT USING 1 TO ALL EXCEPT penstock_tenant;

CREATE ROW POLICY OR REPLACE penstock_own_rows ON penstock.spend_origins FOR SELECT USING startsWith(currentUser(), 'tenant:') AND tenant_id = substring(currentUser(), 8) TO penstock_tenant;

CREATE ROW POLICY OR REPLACE penstock_all_rows ON penstock.spend_origins FOR SELECT USING 1 TO ALL EXCEPT penstock_tenant;

CREATE ROW POLICY OR REPLACE penstock_own_rows ON penstock.usage_quarantine FOR SELECT USING startsWith(currentUser(), 'tenant:') AND tenant_id = substring(currentUser(), 8) TO penstock_tenant;

CREATE ROW POLICY OR REPLACE penstock_all_rows ON penstock.usage_quarantine FOR SELECT USING 1 TO ALL EXCEPT penstock_tenant;
