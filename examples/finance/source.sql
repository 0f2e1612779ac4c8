-- The source: a bank's payments by card. Topics bank.finance.*
--
-- No foreign keys: payments are taken while a new merchant's or account's master data is still on its way.
CREATE SCHEMA finance;

CREATE TABLE finance.merchants (
  merchant_id INTEGER PRIMARY KEY,
  name TEXT NOT NULL,
  category TEXT NOT NULL,
  country CHAR(2) NOT NULL,
  -- Since when it is as it stands here.
  updated_at TIMESTAMPTZ(3) NOT NULL
);

CREATE TABLE finance.accounts (
  account_id INTEGER PRIMARY KEY,
  holder TEXT NOT NULL,
  email TEXT NOT NULL,
  iban TEXT NOT NULL,
  card_number TEXT NOT NULL,
  segment TEXT NOT NULL,
  country CHAR(2) NOT NULL,
  currency CHAR(3) NOT NULL,
  opened_on DATE NOT NULL
);

-- Which country an address is in: of the networks that hold it, the narrowest says.
CREATE TABLE finance.networks (
  network CIDR PRIMARY KEY,
  country CHAR(2) NOT NULL
);

-- What the card terminals and shops sent, as they sent it: texts may have spaces, small letters and mistakes in them.
CREATE TABLE finance.transactions (
  transaction_id BIGINT PRIMARY KEY,
  account_id INTEGER NOT NULL,
  merchant_id INTEGER NOT NULL,
  card_number TEXT NOT NULL,
  amount NUMERIC(12,2) NOT NULL,
  currency TEXT NOT NULL,
  status TEXT NOT NULL,
  decline_reason TEXT,
  channel TEXT NOT NULL,
  ip TEXT NOT NULL,
  occurred_at TIMESTAMPTZ NOT NULL
);

-- A change then says the whole former row, and a sum can take back what it had counted.
ALTER TABLE finance.merchants REPLICA IDENTITY FULL;
ALTER TABLE finance.accounts REPLICA IDENTITY FULL;
ALTER TABLE finance.networks REPLICA IDENTITY FULL;
ALTER TABLE finance.transactions REPLICA IDENTITY FULL;
