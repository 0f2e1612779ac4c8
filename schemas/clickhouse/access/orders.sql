-- Who may do what with the tables of pipeline orders, in database `silver`. To be run once, by an administrator:
--   clickhouse client --multiquery < schemas/clickhouse/access/orders.sql
-- The engine's own user needs what the README says of a tenant's. Users are not made here, as their passwords would stand in
-- a file: CREATE USER anna IDENTIFIED WITH sha256_hash BY '…'; GRANT orders_reader TO anna;

-- Makes gold: `engine schema apply`, which keeps others out by a table of that name. It can neither change nor delete a row of silver.
CREATE ROLE IF NOT EXISTS orders_maker;
GRANT SHOW, SELECT, CREATE VIEW, DROP VIEW ON silver.* TO orders_maker;
GRANT CREATE TABLE, DROP TABLE ON silver.engine_schema_lock TO orders_maker;
GRANT TABLE ENGINE ON Memory TO orders_maker;
GRANT SELECT ON system.processes TO orders_maker;
CREATE ROW POLICY IF NOT EXISTS orders_maker ON system.processes USING user = currentUser() TO orders_maker;
GRANT ALTER ADD PROJECTION, ALTER SETTINGS ON silver.orders_final TO orders_maker;

-- Reads figures and orders. Of customers it sees names, not addresses; of messages as they came, and of those that were set aside,
-- nothing.
CREATE ROLE IF NOT EXISTS orders_reader;
GRANT SELECT ON silver.orders_hourly_agg TO orders_reader;
GRANT SELECT ON silver.orders_daily_agg TO orders_reader;
GRANT SELECT ON silver.orders_history TO orders_reader;
GRANT SELECT ON silver.kpi_orders_by_day TO orders_reader;
GRANT SELECT ON silver.kpi_customers TO orders_reader;
GRANT SELECT ON silver.kpi_products TO orders_reader;
GRANT SELECT ON silver.kpi_latency_by_hour TO orders_reader;
GRANT SELECT ON silver.orders TO orders_reader;
GRANT SELECT ON silver.orders_current TO orders_reader;
GRANT SELECT ON silver.orders_final TO orders_reader;
GRANT SELECT ON silver.products TO orders_reader;
GRANT SELECT ON silver.products_current TO orders_reader;
GRANT SELECT(id, first_name, last_name) ON silver.customers_current TO orders_reader;
GRANT SELECT(id, first_name, last_name, _version, _deleted) ON silver.customers TO orders_reader;
