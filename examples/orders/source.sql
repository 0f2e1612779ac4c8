-- The source, behind schemas/postgres/inventory.sql: shipments, what else is known of products, and some rows of each.
ALTER TABLE inventory.products ADD COLUMN tags TEXT[], ADD COLUMN attributes JSONB;

CREATE TABLE inventory.shipments (
  order_id INTEGER NOT NULL,
  line SMALLINT NOT NULL,
  carrier VARCHAR(40),
  shipped_at TIMESTAMPTZ,
  PRIMARY KEY (order_id, line)
);

-- Customers, orders and products carry the whole former row with an update and a delete. Shipments say their key alone when they
-- go: for the current state that is enough.
ALTER TABLE inventory.products REPLICA IDENTITY FULL;

-- A customer who goes is looked for among the orders.
CREATE INDEX ON inventory.orders (purchaser);

INSERT INTO inventory.customers (first_name, last_name, email)
  SELECT 'First ' || n, 'Last ' || n, 'Customer' || n || '@Example.com' FROM generate_series(4, 1000) n;
INSERT INTO inventory.products (name, description, weight, price, tags, attributes)
  SELECT 'product ' || n, nullif('', repeat('x', n % 3)), n * 0.125, n * 1.37,
         CASE WHEN n % 4 > 0 THEN ARRAY['tag ' || n % 7, 'all'] END, CASE WHEN n % 2 = 0 THEN jsonb_build_object('size', n) END
  FROM generate_series(4, 100) n;
