-- Every change of a payment, kept by the source itself from here on, with what the row was before it; those that are there
-- are r, as a snapshot calls them.
CREATE FUNCTION expected.is_good(payment finance.transactions) RETURNS boolean STABLE LANGUAGE sql AS $$
  SELECT payment.amount > 0 AND upper(trim(payment.currency)) IN ('EUR', 'GBP', 'USD')
    AND upper(trim(payment.status)) IN ('APPROVED', 'DECLINED', 'REVERSED')
    AND expected.address(trim(payment.ip)) IS NOT NULL AND expected.is_card(trim(payment.card_number))
$$;

CREATE UNLOGGED TABLE expected.changes (operation text, before finance.transactions, after finance.transactions);
INSERT INTO expected.changes SELECT 'r', NULL, payments FROM finance.transactions AS payments;
CREATE FUNCTION expected.keep_payment() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  INSERT INTO expected.changes VALUES (TG_OP, OLD, NEW);
  RETURN NULL;
END $$;
CREATE TRIGGER keep AFTER INSERT OR UPDATE OR DELETE ON finance.transactions FOR EACH ROW EXECUTE FUNCTION expected.keep_payment();

-- What is taken back and what is added.
CREATE VIEW expected.bookings AS
SELECT sign, (payment).transaction_id, (payment).account_id, (payment).merchant_id, (payment).amount,
  upper(trim((payment).currency)) AS currency, upper(trim((payment).status)) AS status,
  host(trim((payment).ip)::inet) AS ip, (payment).occurred_at
FROM (SELECT -1 AS sign, before AS payment FROM expected.changes WHERE operation IN ('UPDATE', 'DELETE')
      UNION ALL SELECT 1, after FROM expected.changes WHERE operation != 'DELETE') AS booked
WHERE expected.is_good(payment);

-- Changes that can't be booked.
CREATE VIEW expected.dead_letters AS
SELECT 1 FROM expected.changes
WHERE operation != 'DELETE' AND NOT expected.is_good(after) AND (operation != 'UPDATE' OR NOT expected.is_good(before));
