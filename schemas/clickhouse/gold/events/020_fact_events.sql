-- Events with the keys of their dimensions, and their properties as columns. The newest row of an idempotency key holds: silver
-- drops repeats for seven days, and what comes again after that takes its old row's place.
--
-- Every expression of the view has a value for every event that silver took: one that failed would refuse the block of events.
CREATE TABLE IF NOT EXISTS fact_events
(
    idempotency_key String,
    event_id String,
    user_id String,
    event_type LowCardinality(String),
    timestamp DateTime64(3, 'UTC') CODEC(DoubleDelta, ZSTD(1)),
    time_key DateTime64(0, 'UTC') CODEC(DoubleDelta, ZSTD(1)) COMMENT 'the hour, in dim_time',
    device_key UInt64 COMMENT 'in dim_device',
    session_id UUID COMMENT 'in silver_sessions',
    page LowCardinality(Nullable(String)),
    amount Nullable(Decimal(12, 2)),
    currency LowCardinality(Nullable(String)),
    plan LowCardinality(Nullable(String)),
    reason LowCardinality(Nullable(String)),
    _version UInt64,
    _deleted UInt8,
    INDEX by_time timestamp TYPE minmax,
    INDEX by_user user_id TYPE bloom_filter(0.01)
)
ENGINE = ReplacingMergeTree(_version, _deleted)
ORDER BY idempotency_key
SETTINGS non_replicated_deduplication_window = 5000;

-- An amount is read from the text, number or string, and not by way of a floating point number.
CREATE MATERIALIZED VIEW IF NOT EXISTS fact_events_fill TO fact_events AS
WITH
    ifNull(device, '') AS of_device,
    ifNull(properties, '') AS of_event
SELECT
    idempotency_key,
    event_id,
    user_id,
    event_type,
    timestamp,
    timestamp - toIntervalMillisecond(positiveModulo(toUnixTimestamp64Milli(timestamp), 3600000)) AS time_key,
    cityHash64(
        JSONExtractString(of_device, 'type'),
        JSONExtractString(of_device, 'os'),
        JSONExtractString(of_device, 'browser')
    ) AS device_key,
    session_id,
    nullIf(JSONExtractString(of_event, 'page'), '') AS page,
    if(event_type = 'purchase', toDecimal64OrNull(trim(BOTH '"' FROM JSONExtractRaw(of_event, 'amount')), 2), NULL) AS amount,
    nullIf(JSONExtractString(of_event, 'currency'), '') AS currency,
    nullIf(JSONExtractString(of_event, 'plan'), '') AS plan,
    nullIf(JSONExtractString(of_event, 'reason'), '') AS reason,
    _version,
    _deleted
FROM silver_events;

-- For readers: each event once.
CREATE OR REPLACE VIEW fact_events_current AS
SELECT
    idempotency_key,
    event_id,
    user_id,
    event_type,
    timestamp,
    time_key,
    device_key,
    session_id,
    page,
    amount,
    currency,
    plan,
    reason
FROM fact_events FINAL
WHERE _deleted = 0;
