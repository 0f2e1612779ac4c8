-- The generator: the same rows for the same seed on every machine.
--
--   CALL finance.fill_reference(seed => 7);                                  -- 56 merchants, 12,345 accounts, 663 networks
--   CALL finance.run(seed => 7);                                             -- 123,456 transactions every 24 s, without end
--   CALL finance.run(seed => 7, batches => 5, every => '0');                 -- five batches, as fast as the database is
--   CALL finance.make(seed => 7, first => 1, last => 9000, per_second => 1000);
--
-- Transaction n happens n * `apart` behind `epoch`, by default a 123,456th of 24 s. Beside transactions there is news: every `news_every` of them a
-- merchant changes its category, an account its segment, a network its country, and an account is told of that has paid before.
-- Of 1,000 transactions some 20 are written sloppily, 3 can't be true, 5 are reversed later, 2 are deleted, 2 are spoilt by a change,
-- and every second one of those is mended. Accounts whose number 397 divides were stolen; those that 991 divides buy ships.

-- A number from 0 to sides - 1, decided by n and the seed alone.
CREATE FUNCTION finance.dice(n bigint, seed bigint, sides int) RETURNS int IMMUTABLE PARALLEL SAFE LANGUAGE sql AS
$$ SELECT ((hashint8extended(n, seed) & 9223372036854775807) % sides)::int $$;

-- One of a list.
CREATE FUNCTION finance.one_of(list text[], n bigint, seed bigint) RETURNS text IMMUTABLE PARALLEL SAFE LANGUAGE sql AS
$$ SELECT list[1 + finance.dice(n, seed, cardinality(list))] $$;

CREATE FUNCTION finance.categories() RETURNS text[] IMMUTABLE PARALLEL SAFE LANGUAGE sql AS
$$ SELECT ARRAY['groceries', 'fuel', 'travel', 'electronics', 'restaurants', 'gambling', 'health', 'fashion'] $$;

CREATE FUNCTION finance.segments() RETURNS text[] IMMUTABLE PARALLEL SAFE LANGUAGE sql AS
$$ SELECT ARRAY['retail', 'student', 'business', 'private'] $$;

CREATE FUNCTION finance.countries() RETURNS text[] IMMUTABLE PARALLEL SAFE LANGUAGE sql AS
$$ SELECT ARRAY['DE', 'FR', 'GB', 'US', 'ES', 'IT', 'NL', 'PL', 'SE', 'CH', 'JP', 'BR'] $$;

-- 16 digits of which the last makes the sum of ISO/IEC 7812-1 right.
CREATE FUNCTION finance.card_number(n bigint, seed bigint) RETURNS text IMMUTABLE PARALLEL SAFE LANGUAGE sql AS $$
  WITH digits AS (
    SELECT '4' || lpad(finance.dice(n, seed, 10000000)::text, 7, '0') || lpad(finance.dice(n, seed + 1, 10000000)::text, 7, '0') AS digits
  )
  SELECT digits || ((10 - sum(CASE WHEN place % 2 = 1 THEN digit * 2 / 10 + digit * 2 % 10 ELSE digit END) % 10) % 10)
  FROM digits, LATERAL (SELECT place, substr(digits, place, 1)::int AS digit FROM generate_series(1, 15) place) AS each
  GROUP BY digits
$$;

-- Networks 0 to 499 are of IPv4, and every eighth of these has one of another country within it; 600 to 699 are of IPv6.
CREATE FUNCTION finance.network(n int) RETURNS cidr IMMUTABLE PARALLEL SAFE LANGUAGE sql AS $$
  SELECT CASE WHEN n < 500 THEN format('%s.%s.0.0/16', 20 + n / 250, n % 250)::cidr
              ELSE format('2a00:%s::/32', to_hex(n))::cidr END
$$;

-- An address in a network.
CREATE FUNCTION finance.address(network int, n bigint, seed bigint) RETURNS text IMMUTABLE PARALLEL SAFE LANGUAGE sql AS $$
  SELECT host(finance.network(network)::inet + (CASE WHEN network < 500 THEN 0 ELSE 65536 END + finance.dice(n, seed, 65536))::bigint)
$$;

-- Where an account pays from: one of its three devices at home, or somebody else's anywhere.
CREATE FUNCTION finance.network_of(account int, seed bigint) RETURNS int IMMUTABLE PARALLEL SAFE LANGUAGE sql AS
$$ SELECT CASE WHEN account % 20 = 0 THEN 600 + finance.dice(account, seed, 100) ELSE finance.dice(account, seed, 500) END $$;

CREATE FUNCTION finance.stolen(account int) RETURNS boolean IMMUTABLE PARALLEL SAFE LANGUAGE sql AS $$ SELECT account % 397 = 0 $$;

CREATE PROCEDURE finance.open_accounts(seed bigint, numbers int[]) LANGUAGE sql AS $$
  INSERT INTO finance.accounts
  SELECT account, 'Holder ' || account, format(' Holder.%s@Example.com', account),
    format('DE%s%s', lpad(finance.dice(account, seed + 1, 100)::text, 2, '0'), lpad(account::text, 18, '7')),
    finance.card_number(account, seed + 2), finance.one_of(finance.segments(), account, seed + 3),
    finance.one_of(finance.countries(), account, seed + 4), finance.one_of(ARRAY['EUR', 'EUR', 'USD', 'GBP'], account, seed + 5),
    date '2015-01-01' + finance.dice(account, seed + 6, 3650)
  FROM unnest(numbers) AS account
  ON CONFLICT DO NOTHING
$$;

-- All but those accounts that are opened later: one of 250.
CREATE PROCEDURE finance.fill_reference(seed bigint, account_count int DEFAULT 12345) LANGUAGE plpgsql AS $$
DECLARE
  first_ones int[] := ARRAY(SELECT n FROM generate_series(1, account_count) n WHERE n % 250 != 7);
BEGIN
  INSERT INTO finance.merchants
  SELECT n, 'Merchant ' || n, finance.one_of(finance.categories(), n, seed), finance.one_of(finance.countries(), n, seed + 1),
    timestamptz '2025-12-01 00:00:00+00'
  FROM generate_series(1, 56) n;
  INSERT INTO finance.networks SELECT finance.network(n), finance.one_of(finance.countries(), n, seed + 7)
  FROM (SELECT generate_series(0, 499) UNION ALL SELECT generate_series(600, 699)) AS all_of_them (n);
  INSERT INTO finance.networks SELECT set_masklen(finance.network(n * 8)::inet + 4096, 20)::cidr, finance.one_of(finance.countries(), n, seed + 8)
  FROM generate_series(0, 62) n;
  CALL finance.open_accounts(seed, first_ones);
END $$;

-- Transactions low to high, in one statement. An account's card and currency are computed, not looked up: it may not be there yet.
CREATE PROCEDURE finance.insert_transactions(seed bigint, low bigint, high bigint, account_count int, epoch timestamptz, apart interval) LANGUAGE sql AS $$
  WITH thrown AS MATERIALIZED (
    SELECT n,
      -- Some accounts and merchants are busier than others.
      CASE WHEN finance.dice(n, seed + 36, 100) = 0 THEN 397 * (1 + finance.dice(n, seed + 37, greatest(account_count / 397, 1)))
           ELSE 1 + (finance.dice(n, seed + 20, account_count)::bigint * finance.dice(n, seed + 21, account_count) / account_count)::int
      END AS account,
      1 + (finance.dice(n, seed + 22, 56) * finance.dice(n, seed + 23, 56) / 56) AS merchant,
      finance.dice(n, seed + 24, 1000) AS kind,
      finance.dice(n, seed + 25, 100) AS percent,
      finance.dice(n, seed + 26, 3) AS device
    FROM generate_series(low, high) n
  )
  INSERT INTO finance.transactions
  SELECT n, account, merchant,
    CASE WHEN kind = 0 THEN '4111 1111 1111 1112' ELSE coalesce(card_number, finance.card_number(account, seed + 2)) END,
    CASE WHEN kind = 1 THEN 0
         ELSE (50 + finance.dice(n, seed + 27, CASE WHEN percent > 97 THEN 400000 ELSE 20000 END))::numeric / 100
              * CASE WHEN account % 991 = 0 THEN 400 ELSE 1 END END,
    CASE WHEN kind BETWEEN 10 AND 19 THEN lower(' ' || coalesce(currency, 'EUR')) ELSE coalesce(currency, 'EUR') END,
    CASE WHEN declined THEN CASE WHEN kind BETWEEN 20 AND 29 THEN 'declined ' ELSE 'DECLINED' END ELSE 'APPROVED' END,
    CASE WHEN declined THEN finance.one_of(ARRAY['insufficient_funds', 'suspected_fraud', 'expired_card', 'limit_exceeded'], n, seed + 28) END,
    finance.one_of(ARRAY['POS', 'ONLINE', 'MOBILE'], n, seed + 29),
    CASE WHEN kind = 2 THEN '256.1.1.1'
         WHEN percent = 50 THEN host(inet '198.18.0.0' + finance.dice(n, seed + 30, 65536)::bigint)
         WHEN finance.stolen(account) OR kind = 30 THEN finance.address(finance.dice(n, seed + 31, 500), n, seed + 32)
         ELSE upper(finance.address(finance.network_of(account, seed + 33), account * 3 + device, seed + 34)) END,
    epoch + n * apart
  FROM thrown LEFT JOIN finance.accounts ON account_id = account,
    LATERAL (SELECT finance.dice(n, seed + 35, 100) < CASE WHEN finance.stolen(account) THEN 80 ELSE 3 + merchant % 5 END) AS fate (declined)
$$;

-- What becomes of some of them.
CREATE PROCEDURE finance.change_transactions(seed bigint, low bigint, high bigint) LANGUAGE sql AS $$
  UPDATE finance.transactions SET status = 'REVERSED' WHERE transaction_id BETWEEN low AND high
    AND status = 'APPROVED' AND finance.dice(transaction_id, seed + 40, 200) = 0;
  UPDATE finance.transactions SET amount = -amount WHERE transaction_id BETWEEN low AND high
    AND finance.dice(transaction_id, seed + 41, 500) = 0;
  UPDATE finance.transactions SET amount = 1 - amount WHERE transaction_id BETWEEN low AND high
    AND finance.dice(transaction_id, seed + 41, 1000) = 0;
  UPDATE finance.transactions SET ip = '20.0.16.1' WHERE transaction_id BETWEEN low AND high AND ip = '256.1.1.1' AND transaction_id % 2 = 0;
  DELETE FROM finance.transactions WHERE transaction_id BETWEEN low AND high AND finance.dice(transaction_id, seed + 42, 500) = 0;
$$;

-- News that comes with transaction n.
CREATE PROCEDURE finance.tell_news(seed bigint, n bigint, issue int, account_count int, epoch timestamptz, apart interval) LANGUAGE plpgsql AS $$
BEGIN
  UPDATE finance.merchants SET category = finance.one_of(finance.categories(), n, seed + 50), updated_at = epoch + n * apart
  WHERE merchant_id = 1 + finance.dice(n, seed + 51, 20);
  UPDATE finance.accounts SET segment = finance.one_of(finance.segments(), n, seed + 52)
  WHERE account_id = 1 + finance.dice(n, seed + 53, account_count);
  UPDATE finance.networks SET country = finance.one_of(finance.countries(), n, seed + 54)
  WHERE network = finance.network(finance.dice(n, seed + 55, 500));
  IF 7 + 250 * issue <= account_count THEN CALL finance.open_accounts(seed, ARRAY[7 + 250 * issue]); END IF;
END $$;

-- Transactions first to last, `chunk` of them in each commit, so many a second (0: as fast as the database is). A later call
-- goes on behind `last`.
CREATE PROCEDURE finance.make(seed bigint, first bigint, last bigint, per_second int DEFAULT 0, chunk int DEFAULT 25,
  news_every int DEFAULT 20000, account_count int DEFAULT 12345, epoch timestamptz DEFAULT '2026-01-01 00:00:00+00',
  apart interval DEFAULT interval '24 s' / 123456) LANGUAGE plpgsql AS $$
DECLARE
  began timestamptz := clock_timestamp();
  low bigint;
  high bigint;
  issue bigint;
BEGIN
  FOR low IN SELECT generate_series(first, last, chunk) LOOP
    high := least(low + chunk - 1, last);
    CALL finance.insert_transactions(seed, low, high, account_count, epoch, apart);
    CALL finance.change_transactions(seed, low, high);
    FOR issue IN SELECT generate_series((low + news_every - 1) / news_every, high / news_every) LOOP
      CALL finance.tell_news(seed, issue * news_every, issue::int, account_count, epoch, apart);
    END LOOP;
    COMMIT;
    IF per_second > 0 THEN
      PERFORM pg_sleep((high - first + 1)::float / per_second - extract(epoch FROM clock_timestamp() - began));
    END IF;
  END LOOP;
END $$;

-- Batches, one every so often; without a number of them, for ever. Transactions happen as they are made.
CREATE PROCEDURE finance.run(seed bigint, batches int DEFAULT NULL, size int DEFAULT 123456, every interval DEFAULT '24 s',
  epoch timestamptz DEFAULT now()) LANGUAGE plpgsql AS $$
DECLARE
  began timestamptz := clock_timestamp();
  batch int := 0;
BEGIN
  WHILE batch < batches OR batches IS NULL LOOP
    CALL finance.make(seed, batch * size::bigint + 1, (batch + 1) * size::bigint, chunk => size, epoch => epoch);
    batch := batch + 1;
    PERFORM pg_sleep(greatest(0, extract(epoch FROM began + batch * every - clock_timestamp())));
  END LOOP;
END $$;
