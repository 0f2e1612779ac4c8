-- Source tables of the plugin `orders`, as PostgreSQL has them: topics postgres-server.inventory.*
CREATE SCHEMA inventory;
CREATE SEQUENCE inventory.order_number START 1001;

CREATE TABLE inventory.customers (
  id SERIAL PRIMARY KEY,
  first_name VARCHAR(255) NOT NULL,
  last_name VARCHAR(255) NOT NULL,
  email VARCHAR(255) NOT NULL UNIQUE,
  created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP
);

CREATE TABLE inventory.products (
  id SERIAL PRIMARY KEY,
  name VARCHAR(255) NOT NULL,
  description TEXT,
  weight DOUBLE PRECISION,
  price DECIMAL(10,2)
);

CREATE TABLE inventory.orders (
  id SERIAL PRIMARY KEY,
  order_number VARCHAR(50) UNIQUE NOT NULL DEFAULT 'ORD-' || nextval('inventory.order_number'),
  order_date DATE NOT NULL DEFAULT CURRENT_DATE,
  order_time TIMESTAMP DEFAULT CURRENT_TIMESTAMP,
  purchaser INTEGER NOT NULL REFERENCES inventory.customers(id),
  quantity INTEGER NOT NULL CHECK (quantity > 0),
  product_id INTEGER NOT NULL REFERENCES inventory.products(id),
  unit_price DECIMAL(10,2) NOT NULL,
  total_amount DECIMAL(12,2) GENERATED ALWAYS AS (quantity * unit_price) STORED,
  status VARCHAR(20) DEFAULT 'PENDING'
    CHECK (status IN ('PENDING', 'CONFIRMED', 'SHIPPED', 'DELIVERED', 'CANCELLED')),
  created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP,
  updated_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP
);

-- An update and a delete then carry the whole former row.
ALTER TABLE inventory.orders REPLICA IDENTITY FULL;
ALTER TABLE inventory.customers REPLICA IDENTITY FULL;

INSERT INTO inventory.customers (first_name, last_name, email) VALUES
  ('Sally', 'Thomas', 'sally@acme.com'), ('George', 'Bailey', 'gbailey@foobar.com'), ('Anna', 'Zähringer', 'anna@example.com');
INSERT INTO inventory.products (name, description, weight, price) VALUES
  ('scooter', 'Small 2-wheel scooter', 3.14, 49.90), ('hammer', NULL, 0.875, 12.50), ('nail', 'One nail', 0.004, 0.01);
INSERT INTO inventory.orders (purchaser, quantity, product_id, unit_price) VALUES (1, 2, 1, 49.90), (2, 1, 2, 12.50);
