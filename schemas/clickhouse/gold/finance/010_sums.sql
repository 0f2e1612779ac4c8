-- Sums, kept by the server as bookings come. A booking of sign -1 takes back what one of sign 1 has added, so both tables are
-- right under changes and deletes, and no row is ever looked for.
--
-- Neither holds reference data: a merchant's category and an address's country are found when somebody asks. So no order in
-- which payments and reference data arrive, and no replay of either, can leave a wrong sum behind.
--
-- The engine sends a block again under its token after a crash; each table knows tokens for so many parts.
--
-- Amounts are of approved payments alone, and never of two currencies in one.
CREATE TABLE IF NOT EXISTS minute_sums
(
    minute DateTime('UTC') CODEC(DoubleDelta, ZSTD(1)),
    merchant_id Int32,
    currency LowCardinality(String),
    payments SimpleAggregateFunction(sum, Int64),
    declined SimpleAggregateFunction(sum, Int64),
    reversed SimpleAggregateFunction(sum, Int64),
    amount SimpleAggregateFunction(sum, Decimal(38, 2)),
    declined_amount SimpleAggregateFunction(sum, Decimal(38, 2))
)
ENGINE = AggregatingMergeTree
PARTITION BY toDate(minute)
ORDER BY (minute, merchant_id, currency)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE MATERIALIZED VIEW IF NOT EXISTS minute_sums_fill TO minute_sums AS
SELECT
    toStartOfMinute(toDateTime(occurred_at, 'UTC')) AS minute,
    merchant_id,
    currency,
    sum(toInt64(sign)) AS payments,
    sumIf(toInt64(sign), status = 'DECLINED') AS declined,
    sumIf(toInt64(sign), status = 'REVERSED') AS reversed,
    sumIf(toDecimal128(b.amount, 2) * sign, status = 'APPROVED') AS amount,
    sumIf(toDecimal128(b.amount, 2) * sign, status = 'DECLINED') AS declined_amount
FROM bookings AS b
GROUP BY minute, merchant_id, currency;

-- By account and address: there are few of them beside payments, however many are made.
CREATE TABLE IF NOT EXISTS hour_sums
(
    hour DateTime('UTC') CODEC(DoubleDelta, ZSTD(1)),
    account_id Int32,
    ip String,
    currency LowCardinality(String),
    payments SimpleAggregateFunction(sum, Int64),
    declined SimpleAggregateFunction(sum, Int64),
    reversed SimpleAggregateFunction(sum, Int64),
    amount SimpleAggregateFunction(sum, Decimal(38, 2))
)
ENGINE = AggregatingMergeTree
PARTITION BY toDate(hour)
ORDER BY (hour, account_id, ip, currency)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE MATERIALIZED VIEW IF NOT EXISTS hour_sums_fill TO hour_sums AS
SELECT
    toStartOfHour(toDateTime(occurred_at, 'UTC')) AS hour,
    account_id,
    ip,
    currency,
    sum(toInt64(sign)) AS payments,
    sumIf(toInt64(sign), status = 'DECLINED') AS declined,
    sumIf(toInt64(sign), status = 'REVERSED') AS reversed,
    sumIf(toDecimal128(b.amount, 2) * sign, status = 'APPROVED') AS amount
FROM bookings AS b
GROUP BY hour, account_id, ip, currency;
