-- What silver and gold have to be, computed by the source's own database from its own tables: nothing here is shared with the
-- plugins or ClickHouse's views.
CREATE SCHEMA expected;

-- What merchants were, kept by the source from the connector's snapshot on.
CREATE TABLE expected.merchant_history AS SELECT merchant_id, name, category, country, updated_at FROM finance.merchants;
CREATE FUNCTION expected.keep_merchant() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  INSERT INTO expected.merchant_history VALUES (NEW.merchant_id, NEW.name, NEW.category, NEW.country, NEW.updated_at);
  RETURN NULL;
END $$;
CREATE TRIGGER keep AFTER INSERT OR UPDATE ON finance.merchants FOR EACH ROW EXECUTE FUNCTION expected.keep_merchant();

-- A version takes effect with the next full minute; the first holds for all time before.
CREATE VIEW expected.merchant_versions AS
SELECT merchant_id, name, category, number,
  CASE WHEN number = 1 THEN '-infinity' ELSE date_trunc('minute', updated_at + interval '59.999 s') END AS starts
FROM (SELECT *, row_number() OVER (PARTITION BY merchant_id ORDER BY updated_at) AS number FROM expected.merchant_history) AS numbered;

-- Whether a card can have this number: every second digit from the right doubled, the digits of all added up.
CREATE FUNCTION expected.is_card(number text) RETURNS boolean IMMUTABLE LANGUAGE sql AS $$
  SELECT number ~ '^[0-9]{12,19}$' AND (
    SELECT sum(CASE WHEN place % 2 = 1 THEN digit WHEN digit > 4 THEN 2 * digit - 9 ELSE 2 * digit END) % 10 = 0
    FROM regexp_split_to_table(reverse(number), '') WITH ORDINALITY AS digits (text, place), LATERAL (SELECT text::int AS digit) AS each)
$$;

CREATE FUNCTION expected.address(ip text) RETURNS inet IMMUTABLE LANGUAGE plpgsql AS
$$ BEGIN RETURN ip::inet; EXCEPTION WHEN invalid_text_representation THEN RETURN NULL; END $$;

-- Good payments, as they are now.
CREATE VIEW expected.good AS
SELECT transaction_id, account_id, merchant_id, left(trim(card_number), 6) AS card_issuer, right(trim(card_number), 4) AS card_last_four,
  amount, upper(trim(currency)) AS currency, upper(trim(status)) AS status, decline_reason, channel, address, occurred_at
FROM finance.transactions, LATERAL (SELECT expected.address(trim(ip)) AS address) AS read
WHERE amount > 0 AND upper(trim(currency)) IN ('EUR', 'GBP', 'USD') AND upper(trim(status)) IN ('APPROVED', 'DECLINED', 'REVERSED')
  AND address IS NOT NULL AND expected.is_card(trim(card_number));

CREATE INDEX ON finance.networks USING gist (network inet_ops);

-- And what is known of account, merchant and address.
CREATE VIEW expected.enriched AS
WITH versions AS MATERIALIZED (SELECT * FROM expected.merchant_versions)
SELECT good.*, coalesce(accounts.segment, 'unknown') AS account_segment, coalesce(accounts.country, 'ZZ') AS account_country,
  merchant.name AS merchant_name, merchant.category AS merchant_category, coalesce(network.country, 'ZZ') AS ip_country,
  date_trunc('minute', occurred_at) AS minute, date_trunc('hour', occurred_at) AS hour, date_trunc('day', occurred_at) AS day,
  CASE WHEN status = 'APPROVED' THEN amount ELSE 0 END AS approved,
  CASE WHEN status = 'DECLINED' THEN amount ELSE 0 END AS lost
FROM expected.good LEFT JOIN finance.accounts USING (account_id)
  CROSS JOIN LATERAL (SELECT name, category FROM versions
    WHERE versions.merchant_id = good.merchant_id AND starts <= occurred_at ORDER BY starts DESC, number DESC LIMIT 1) AS merchant
  LEFT JOIN LATERAL (SELECT country FROM finance.networks WHERE network >>= address ORDER BY masklen(network) DESC LIMIT 1) AS network ON true;

-- Computed once when all is done: what is compared reads it again and again.
CREATE MATERIALIZED VIEW expected.payments AS SELECT * FROM expected.enriched WITH NO DATA;

-- Accounts that somebody should look at.
CREATE VIEW expected.suspicious AS
SELECT hour, account_id, 'declines' AS reason, (count(*) FILTER (WHERE status = 'DECLINED'))::text AS evidence
FROM expected.payments GROUP BY hour, account_id
HAVING count(*) FILTER (WHERE status = 'DECLINED') >= 5 AND 2 * count(*) FILTER (WHERE status = 'DECLINED') > count(*)
UNION ALL
SELECT hour, account_id, 'countries', count(DISTINCT ip_country)::text
FROM expected.payments WHERE ip_country != 'ZZ' GROUP BY hour, account_id HAVING count(DISTINCT ip_country) >= 4
UNION ALL
SELECT hour, account_id, 'money', sum(approved)::numeric(38, 2) || ' ' || currency
FROM expected.payments GROUP BY hour, account_id, currency HAVING sum(approved) > 100000;
