-- The history under the names that readers of the project that this replaces know.
CREATE OR REPLACE VIEW orders_history AS
SELECT
    id, order_number, order_date, order_time, purchaser, quantity, product_id, unit_price, total_amount, status,
    created_at, updated_at, operation, operation_name,
    toUnixTimestamp64Milli(assumeNotNull(_source_ts)) AS source_ts_ms,
    toUnixTimestamp64Milli(_ingested_at) AS processing_ts_ms,
    _ingested_at AS _synced_at
FROM orders_final;
