-- What facts are looked at by. `dim_user` is the engine's own table, by the plugin of that name: the plans of users, from when to
-- when (read `dim_user_current`).

-- Hours, UTC, of the years 2020 to 2039. Nothing is stored: it is the calendar.
CREATE OR REPLACE VIEW dim_time AS
SELECT
    toDateTime64('2020-01-01 00:00:00', 0, 'UTC') + toIntervalHour(number) AS time_key,
    toDate32(time_key, 'UTC') AS day,
    toHour(time_key) AS hour,
    toDayOfWeek(time_key) AS weekday,
    weekday >= 6 AS is_weekend,
    toISOWeek(time_key) AS iso_week,
    toMonth(time_key) AS month,
    toQuarter(time_key) AS quarter,
    toYear(time_key) AS year
FROM numbers(175320);

-- Devices that events came from, with the first and last time. Least and greatest stay what they are, however often a block of
-- events is sent.
CREATE TABLE IF NOT EXISTS dim_device_seen
(
    device_key UInt64,
    kind LowCardinality(String),
    os LowCardinality(String),
    browser LowCardinality(String),
    first_seen SimpleAggregateFunction(min, DateTime64(3, 'UTC')),
    last_seen SimpleAggregateFunction(max, DateTime64(3, 'UTC'))
)
ENGINE = AggregatingMergeTree
ORDER BY (kind, os, browser, device_key)
SETTINGS non_replicated_deduplication_window = 5000;

CREATE MATERIALIZED VIEW IF NOT EXISTS dim_device_fill TO dim_device_seen AS
SELECT
    JSONExtractString(ifNull(device, ''), 'type') AS kind,
    JSONExtractString(ifNull(device, ''), 'os') AS os,
    JSONExtractString(ifNull(device, ''), 'browser') AS browser,
    cityHash64(kind, os, browser) AS device_key,
    min(timestamp) AS first_seen,
    max(timestamp) AS last_seen
FROM silver_events
WHERE _deleted = 0
GROUP BY kind, os, browser;

-- For readers: each device once, whatever has been merged so far.
CREATE OR REPLACE VIEW dim_device AS
SELECT
    device_key,
    kind,
    os,
    browser,
    min(dim_device_seen.first_seen) AS first_seen,
    max(dim_device_seen.last_seen) AS last_seen
FROM dim_device_seen
GROUP BY device_key, kind, os, browser;
