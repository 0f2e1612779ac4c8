-- The generator: a shop at work, the same for the same seed on every machine, but for the times of updates.
--
--   CALL inventory.place_orders(seed => 7, first => 1, last => 100000);                      -- orders alone, by the thousand
--   CALL inventory.change_shop(seed => 7, first => 1, last => 30000, per_second => 1000);    -- 0: as fast as the database is
--
-- `change_shop` makes one change of an order for each number: of a hundred about 40 are new, 50 go on to their next status, 10 are
-- deleted. Beside them customers come, change and go, prices change, and shipments come, are numbered anew and go.

-- A number from 0 to sides - 1, decided by n and the seed alone.
CREATE FUNCTION inventory.dice(n bigint, seed bigint, sides bigint) RETURNS int IMMUTABLE LANGUAGE sql AS
$$ SELECT ((hashint8extended(n, seed) & 9223372036854775807) % sides)::int $$;

-- Orders that were placed one every half minute, by a thousand customers.
CREATE FUNCTION inventory.new_orders(seed bigint, first bigint, last bigint) RETURNS void LANGUAGE sql AS $$
  INSERT INTO inventory.orders (order_date, order_time, purchaser, quantity, product_id, unit_price)
  SELECT at::date, at, 1 + inventory.dice(n, seed + 2, 1000), 1 + inventory.dice(n, seed + 3, 9),
         1 + inventory.dice(n, seed + 4, 100), 0.01 * (1 + inventory.dice(n, seed + 5, 100000))
  FROM generate_series(first, last) n, LATERAL (SELECT timestamp '2026-11-01' + n * interval '30.000001 seconds' AS at) t
$$;

CREATE PROCEDURE inventory.place_orders(seed bigint, first bigint, last bigint) LANGUAGE plpgsql AS $$
BEGIN
  FOR n IN first..last BY 1000 LOOP
    PERFORM inventory.new_orders(seed, n, least(n + 999, last));
    COMMIT;
  END LOOP;
END $$;

CREATE PROCEDURE inventory.change_shop(seed bigint, first bigint, last bigint, per_second int DEFAULT 0) LANGUAGE plpgsql AS $$
DECLARE
  began timestamptz := clock_timestamp();
  kind int;
  target inventory.orders;
BEGIN
  FOR n IN first..last LOOP
    kind := inventory.dice(n, seed, 100);
    target := NULL;
    IF kind >= 40 THEN
      -- One of the last thousand that is still there.
      SELECT * INTO target FROM inventory.orders
        WHERE id > (SELECT last_value FROM inventory.orders_id_seq) - inventory.dice(n, seed + 1, 1000) ORDER BY id LIMIT 1;
    END IF;
    IF target.id IS NULL THEN
      PERFORM inventory.new_orders(seed, n, n);
    ELSIF kind < 90 THEN
      UPDATE inventory.orders SET updated_at = clock_timestamp(), status = CASE status
        WHEN 'PENDING' THEN CASE WHEN kind < 50 THEN 'CANCELLED' ELSE 'CONFIRMED' END
        WHEN 'CONFIRMED' THEN 'SHIPPED' WHEN 'SHIPPED' THEN 'DELIVERED' ELSE status END WHERE id = target.id;
      IF target.status = 'CONFIRMED' THEN
        INSERT INTO inventory.shipments VALUES (target.id, 1, CASE WHEN kind < 80 THEN ' DHL ' END, clock_timestamp());
      ELSIF target.status = 'SHIPPED' THEN
        UPDATE inventory.shipments SET line = line + 1 WHERE order_id = target.id; -- its key changes
      END IF;
    ELSE
      DELETE FROM inventory.shipments WHERE order_id = target.id;
      DELETE FROM inventory.orders WHERE id = target.id;
    END IF;
    CASE n % 20
      WHEN 3 THEN INSERT INTO inventory.customers (first_name, last_name, email) VALUES (' New', 'Customer', 'n' || n || '@New.com');
      WHEN 7 THEN UPDATE inventory.customers SET last_name = 'Last ' || n WHERE id = 1 + inventory.dice(n, seed + 6, 1000);
      WHEN 11 THEN DELETE FROM inventory.customers WHERE id = (SELECT min(id) FROM inventory.customers WHERE id > 1000) AND n % 40 = 11;
      WHEN 15 THEN UPDATE inventory.products SET price = price + 0.01 WHERE id = 1 + inventory.dice(n, seed + 7, 100);
      ELSE NULL;
    END CASE;
    IF n % 25 = 0 THEN
      COMMIT;
      IF per_second > 0 THEN
        PERFORM pg_sleep((n - first + 1)::float / per_second - extract(epoch FROM clock_timestamp() - began));
      END IF;
    END IF;
  END LOOP;
  COMMIT;
END $$;
