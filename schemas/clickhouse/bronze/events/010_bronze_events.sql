-- Events as they came, to be looked at by their type and day: what the engine writes into a bronze table, and two columns that
-- the server reads out of it. Apply this before the engine starts for the first time; else it makes the table itself, in the order
-- of the topic and without these two.
--
-- A partition is a day of arrival, so that old days can be dropped at once. By the events' own days a block could belong to any
-- number of partitions: that is decided by clocks of others.
CREATE TABLE IF NOT EXISTS bronze_events
(
    timestamp Nullable(DateTime64(3, 'UTC')) COMMENT 'of the message' CODEC(DoubleDelta, ZSTD(1)),
    key Nullable(String),
    value Nullable(String) COMMENT 'exact to the byte' CODEC(ZSTD(3)),
    headers Array(Tuple(key String, value Nullable(String))),
    _op LowCardinality(String),
    _deleted UInt8,
    _version UInt64 CODEC(DoubleDelta, ZSTD(1)),
    _source_ts Nullable(DateTime64(3, 'UTC')),
    _topic LowCardinality(String),
    _partition Int32,
    _offset Int64 CODEC(DoubleDelta, ZSTD(1)),
    _lane UInt64,
    _epoch UInt64 CODEC(DoubleDelta, ZSTD(1)),
    _row UInt32 CODEC(DoubleDelta, ZSTD(1)),
    _ingested_at DateTime64(3, 'UTC') CODEC(DoubleDelta, ZSTD(1)),
    event_type LowCardinality(String) MATERIALIZED left(JSONExtractString(ifNull(value, ''), 'event_type'), 64)
        COMMENT 'as the event says; empty where it says nothing that can be read',
    event_date Date32
        MATERIALIZED toDate32(parseDateTime64BestEffortOrZero(JSONExtractString(ifNull(value, ''), 'timestamp'), 3, 'UTC'), 'UTC')
        COMMENT 'as the event says; 1970-01-01 where it says nothing that can be read'
)
ENGINE = MergeTree
PARTITION BY toDate(_ingested_at)
ORDER BY (event_type, event_date, _partition, _offset)
SETTINGS non_replicated_deduplication_window = 5000;
