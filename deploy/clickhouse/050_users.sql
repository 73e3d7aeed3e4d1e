-- Made by `penstock clickhouse access`; do not edit. See docs/access-control.md.

CREATE USER IF NOT EXISTS penstock_owner NOT IDENTIFIED HOST NONE;

GRANT penstock_owner TO penstock_owner;

ALTER USER penstock_owner DEFAULT ROLE penstock_owner;

CREATE USER IF NOT EXISTS penstock_loader NOT IDENTIFIED HOST NONE;

GRANT penstock_loader TO penstock_loader;

ALTER USER penstock_loader DEFAULT ROLE penstock_loader;

CREATE USER IF NOT EXISTS penstock_reader NOT IDENTIFIED HOST NONE;

GRANT penstock_reader TO penstock_reader;

ALTER USER penstock_reader DEFAULT ROLE penstock_reader;

CREATE USER IF NOT EXISTS penstock_analyst NOT IDENTIFIED HOST NONE;

GRANT penstock_analyst TO penstock_analyst;

ALTER USER penstock_analyst DEFAULT ROLE penstock_analyst;
