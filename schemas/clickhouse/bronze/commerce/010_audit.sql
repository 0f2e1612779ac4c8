-- Every change as it came, for whoever audits: what the connector says of it beside the message itself. The tables are the
-- engine's; `value` is the message to the byte.
CREATE OR REPLACE VIEW v_bronze_users AS
SELECT
    JSONExtract(value, 'user_id', 'Nullable(Int64)') AS user_id,
    JSONExtractString(value, '__op') AS op,
    JSONExtractString(value, '__deleted') = 'true' AS deleted,
    fromUnixTimestamp64Milli(JSONExtractInt(value, '__source_ts_ms'), 'UTC') AS changed_at,
    _ingested_at,
    _partition,
    _offset,
    value
FROM bronze_users;

-- Messages that are no JSON have empty columns here, and are whole in `value` all the same.
CREATE OR REPLACE VIEW v_bronze_events AS
SELECT
    JSONExtractString(value, '_id') AS event_id,
    JSONExtractString(value, '__op') AS op,
    JSONExtractBool(value, '__deleted') AS deleted,
    fromUnixTimestamp64Milli(JSONExtractInt(value, '__source_ts_ms'), 'UTC') AS changed_at,
    _ingested_at,
    _partition,
    _offset,
    value
FROM bronze_events;
