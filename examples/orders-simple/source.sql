-- The source: orders as the simplest shop has them. Topic postgres-server.inventory.orders.
CREATE SCHEMA inventory;

CREATE TABLE inventory.orders (
  id SERIAL PRIMARY KEY,
  order_date DATE NOT NULL,
  purchaser INTEGER NOT NULL,
  quantity INTEGER NOT NULL,
  product_id INTEGER NOT NULL
);

-- An update and a delete then carry the whole former row: without this, a delete would say nothing but the id.
ALTER TABLE inventory.orders REPLICA IDENTITY FULL;
