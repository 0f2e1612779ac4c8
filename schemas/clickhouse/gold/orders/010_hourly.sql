-- Changes of orders by the hour in which the order was placed, and by what happened to it.
--
-- The hours are a projection of the history: aggregate states that lie in the same part as the rows that they were made of, and
-- merge as its parts do. So they are there once whenever the rows are, whatever became of inserts, repeats, crashes and replays,
-- and at once. A table behind a materialized view is neither: a server that dies may know the token of a block and lack its rows,
-- in one of the two; in the history the engine asks for the rows and sends what is missing, under a token that the view has
-- never seen and adds once more; in the view's table nobody asks.
--
-- Rows that were there before the projection are read as rows, which is slower and gives the same:
-- `ALTER TABLE orders_final MATERIALIZE PROJECTION by_hour` makes theirs.
--
-- An order without a time counts for the first hour of its day.
ALTER TABLE orders_final ADD PROJECTION IF NOT EXISTS by_hour
(
    SELECT
        toStartOfHour(toDateTime(ifNull(order_time, toDateTime64(order_date, 6, 'UTC')), 'UTC')) AS hour,
        operation,
        count(),
        sum(quantity),
        sum(total_amount),
        uniqExact(purchaser),
        uniqExact(product_id)
    GROUP BY hour, operation
);

-- `engine replay` deletes rows of the history, which their projection has to follow.
ALTER TABLE orders_final MODIFY SETTING lightweight_mutation_projection_mode = 'rebuild';

-- By hour.
CREATE OR REPLACE VIEW orders_hourly_agg AS
SELECT
    toStartOfHour(toDateTime(ifNull(order_time, toDateTime64(order_date, 6, 'UTC')), 'UTC')) AS hour,
    operation,
    count() AS changes,
    sum(quantity) AS pieces,
    sum(total_amount) AS amount,
    uniqExact(purchaser) AS customers,
    uniqExact(product_id) AS products
FROM orders_final
GROUP BY hour, operation;

-- By day, of the same states: sums of the hours' sums, but different customers of the whole day, which no sum of the hours'
-- numbers would give.
CREATE OR REPLACE VIEW orders_daily_agg AS
SELECT
    toDate(toStartOfHour(toDateTime(ifNull(order_time, toDateTime64(order_date, 6, 'UTC')), 'UTC'))) AS day,
    operation,
    count() AS changes,
    sum(quantity) AS pieces,
    sum(total_amount) AS amount,
    uniqExact(purchaser) AS customers,
    uniqExact(product_id) AS products
FROM orders_final
GROUP BY day, operation;
