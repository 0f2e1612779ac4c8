-- Sums, kept by the server in the parts that hold the bookings they are of: aggregate projections. A booking of sign -1 takes
-- back what one of sign 1 has added, so they are right under changes and deletes, and no row is ever looked for.
--
-- A materialized view would keep its sums in a table of its own, which after a server's death may lack a block that `bookings`
-- has, or have it twice, and nobody would notice; a refreshable one would add everything up again every some seconds, of payments
-- without end. What lies in the bookings' own parts comes, goes and is replayed with them.
--
-- No reference data is in them: a merchant's category and an address's country are found when somebody asks. So no order in which
-- payments and reference data arrive can leave a wrong sum behind.

-- Rows that `engine replay` deletes go from the sums as well.
ALTER TABLE bookings MODIFY SETTING lightweight_mutation_projection_mode = 'rebuild';

ALTER TABLE bookings ADD PROJECTION IF NOT EXISTS minute_sums
(
    SELECT
        toStartOfMinute(occurred_at),
        merchant_id,
        currency,
        status,
        sum(sign),
        sum(amount * sign)
    GROUP BY toStartOfMinute(occurred_at), merchant_id, currency, status
);

-- By account and address: there are few of them beside payments, however many are made.
ALTER TABLE bookings ADD PROJECTION IF NOT EXISTS hour_sums
(
    SELECT
        toStartOfHour(occurred_at),
        account_id,
        ip,
        currency,
        status,
        sum(sign),
        sum(amount * sign)
    GROUP BY toStartOfHour(occurred_at), account_id, ip, currency, status
);

CREATE OR REPLACE VIEW minute_sums AS
SELECT
    toStartOfMinute(occurred_at) AS minute,
    merchant_id,
    currency,
    status,
    sum(sign) AS payments,
    sum(amount * sign) AS amount_of_all
FROM bookings
GROUP BY toStartOfMinute(occurred_at), merchant_id, currency, status;

CREATE OR REPLACE VIEW hour_sums AS
SELECT
    toStartOfHour(occurred_at) AS hour,
    account_id,
    ip,
    currency,
    status,
    sum(sign) AS payments,
    sum(amount * sign) AS amount_of_all
FROM bookings
GROUP BY toStartOfHour(occurred_at), account_id, ip, currency, status;
