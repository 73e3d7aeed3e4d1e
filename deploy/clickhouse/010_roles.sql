-- Made by `penstock clickhouse access`; do not edit. See docs/access-control.md.

-- applies the schema, compacts closed months
CREATE ROLE IF NOT EXISTS penstock_owner;

-- inserts what Kafka has
CREATE ROLE IF NOT EXISTS penstock_loader;

-- our processes and operators: reads everything
CREATE ROLE IF NOT EXISTS penstock_reader;

-- reads every tenant's rows, but no dead letters
CREATE ROLE IF NOT EXISTS penstock_analyst;

-- reads one tenant's rows; for users called tenant:<tenant_id>
CREATE ROLE IF NOT EXISTS penstock_tenant;
