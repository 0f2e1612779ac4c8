-- Events with the keys of their dimensions, and their properties as columns. These are columns of the engine's own table, computed
-- when a row is inserted and kept in the same part: they are there exactly when the event is, whatever dies meanwhile. A second table
-- behind a materialized view would lack rows now and then (see gold/orders/010_hourly.sql).
--
-- Each expression has a value for every event that silver takes: one that failed would refuse the whole block.
ALTER TABLE silver_events ADD COLUMN IF NOT EXISTS time_key DateTime64(0, 'UTC')
    MATERIALIZED timestamp - toIntervalMillisecond(positiveModulo(toUnixTimestamp64Milli(timestamp), 3600000))
    COMMENT 'the hour, in dim_time' CODEC(DoubleDelta, ZSTD(1));

ALTER TABLE silver_events ADD COLUMN IF NOT EXISTS device_key UInt64
    MATERIALIZED cityHash64(
        JSONExtractString(ifNull(device, ''), 'type'),
        JSONExtractString(ifNull(device, ''), 'os'),
        JSONExtractString(ifNull(device, ''), 'browser')
    )
    COMMENT 'in dim_device';

-- Read from the text, number or string, and not by way of a floating point number.
ALTER TABLE silver_events ADD COLUMN IF NOT EXISTS amount Nullable(Decimal(12, 2))
    MATERIALIZED if(
        event_type = 'purchase',
        toDecimal64OrNull(trim(BOTH '"' FROM JSONExtractRaw(ifNull(properties, ''), 'amount')), 2),
        NULL
    )
    COMMENT 'of a purchase';

ALTER TABLE silver_events ADD COLUMN IF NOT EXISTS currency LowCardinality(Nullable(String))
    MATERIALIZED nullIf(JSONExtractString(ifNull(properties, ''), 'currency'), '');

ALTER TABLE silver_events ADD COLUMN IF NOT EXISTS page LowCardinality(Nullable(String))
    MATERIALIZED nullIf(JSONExtractString(ifNull(properties, ''), 'page'), '');

ALTER TABLE silver_events ADD COLUMN IF NOT EXISTS plan LowCardinality(Nullable(String))
    MATERIALIZED nullIf(JSONExtractString(ifNull(properties, ''), 'plan'), '');

ALTER TABLE silver_events ADD COLUMN IF NOT EXISTS reason LowCardinality(Nullable(String))
    MATERIALIZED nullIf(JSONExtractString(ifNull(properties, ''), 'reason'), '');

-- Each event once, by its idempotency key: silver drops repeats for seven days, and what comes again after that takes its old
-- row's place.
CREATE OR REPLACE VIEW fact_events AS
SELECT
    idempotency_key,
    event_id,
    user_id,
    session_id,
    event_type,
    timestamp,
    time_key,
    device_key,
    page,
    amount,
    currency,
    plan,
    reason
FROM silver_events FINAL
WHERE _deleted = 0;

-- Devices that events came from, with the first and last time; made anew as a whole every minute.
CREATE TABLE IF NOT EXISTS dim_device
(
    device_key UInt64,
    kind LowCardinality(String),
    os LowCardinality(String),
    browser LowCardinality(String),
    first_seen DateTime64(3, 'UTC'),
    last_seen DateTime64(3, 'UTC')
)
ENGINE = MergeTree
ORDER BY device_key;

CREATE MATERIALIZED VIEW IF NOT EXISTS dim_device_fill REFRESH EVERY 1 MINUTE TO dim_device AS
SELECT
    cityHash64(kind, os, browser) AS device_key,
    JSONExtractString(text, 'type') AS kind,
    JSONExtractString(text, 'os') AS os,
    JSONExtractString(text, 'browser') AS browser,
    min(first) AS first_seen,
    max(last) AS last_seen
FROM
(
    SELECT ifNull(device, '') AS text, min(timestamp) AS first, max(timestamp) AS last
    FROM silver_events_current
    GROUP BY text
)
GROUP BY kind, os, browser;
