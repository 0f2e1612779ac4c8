-- The generator: orders that are placed, changed and cancelled, the same for the same seed on every machine.
--
--   CALL inventory.change_orders(seed => 7, first => 1, last => 10000);                      -- as fast as the database is
--   CALL inventory.change_orders(seed => 7, first => 10001, last => 20000, per_second => 1000);
--
-- Of a hundred changes about 60 are inserts, 30 updates and 10 deletes. A later call goes on where `last` was.

-- A number from 0 to sides - 1, decided by n and the seed alone.
CREATE FUNCTION inventory.dice(n bigint, seed bigint, sides bigint) RETURNS int IMMUTABLE LANGUAGE sql AS
$$ SELECT ((hashint8extended(n, seed) & 9223372036854775807) % sides)::int $$;

CREATE PROCEDURE inventory.change_orders(seed bigint, first int, last int, per_second int DEFAULT 0) LANGUAGE plpgsql AS $$
DECLARE
  began timestamptz := clock_timestamp();
  kind int;
  target int;
BEGIN
  FOR n IN first..last LOOP
    kind := inventory.dice(n, seed, 100);
    target := NULL;
    IF kind >= 60 THEN
      -- One of the last thousand that is still there.
      SELECT id INTO target FROM inventory.orders
        WHERE id > (SELECT last_value FROM inventory.orders_id_seq) - inventory.dice(n, seed + 1, 1000) ORDER BY id LIMIT 1;
    END IF;
    IF target IS NULL THEN
      INSERT INTO inventory.orders (order_date, purchaser, quantity, product_id) VALUES
        (date '2021-09-26' + n / 1000, 1001 + inventory.dice(n, seed + 3, 1000),
         1 + inventory.dice(n, seed + 4, 9), 101 + inventory.dice(n, seed + 5, 100));
    ELSIF kind < 90 THEN
      UPDATE inventory.orders SET quantity = quantity % 9 + 1, order_date = order_date + inventory.dice(n, seed + 6, 3)
        WHERE id = target;
    ELSE
      DELETE FROM inventory.orders WHERE id = target;
    END IF;
    IF n % 25 = 0 THEN
      COMMIT;
      IF per_second > 0 THEN
        PERFORM pg_sleep((n - first + 1)::float / per_second - extract(epoch FROM clock_timestamp() - began));
      END IF;
    END IF;
  END LOOP;
  COMMIT;
END $$;
