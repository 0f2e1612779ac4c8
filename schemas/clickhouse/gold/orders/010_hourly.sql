-- Changes of orders by the hour in which the order was placed, and by what happened to it.
--
-- The columns are states, which merge to the right number whatever they are summed up to. Numbers would not: a customer who
-- comes in two hours is one customer of the day.
CREATE TABLE IF NOT EXISTS orders_hourly_agg
(
    hour DateTime('UTC') CODEC(DoubleDelta, ZSTD(1)),
    operation LowCardinality(String),
    changes AggregateFunction(count),
    pieces AggregateFunction(sum, Int32),
    amount AggregateFunction(sum, Nullable(Decimal(12, 2))),
    customers AggregateFunction(uniqExact, Int32),
    products AggregateFunction(uniqExact, Int32)
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(hour)
ORDER BY (hour, operation);

-- Made anew as a whole, and exchanged in one step. A view over inserted blocks would be cheaper and now and then wrong:
-- a server that dies may know the token of a block and lack its rows, in `orders_final` or in the view's table. In `orders_final`
-- the engine asks for the rows and sends what is missing, under a token that the view has never seen; in the view's table nobody
-- asks. Nor does such a view hear of rows that are replaced or deleted by a replay. This one is right at each refresh, whatever
-- happened before.
--
-- An order without a time counts for the first hour of its day.
CREATE MATERIALIZED VIEW IF NOT EXISTS orders_hourly_fill REFRESH EVERY 30 SECOND TO orders_hourly_agg AS
SELECT
    toStartOfHour(toDateTime(ifNull(order_time, toDateTime64(order_date, 6, 'UTC')), 'UTC')) AS hour,
    operation,
    countState() AS changes,
    sumState(quantity) AS pieces,
    sumState(total_amount) AS amount,
    uniqExactState(purchaser) AS customers,
    uniqExactState(product_id) AS products
FROM orders_final
GROUP BY hour, operation;

-- For readers: numbers, by hour.
CREATE OR REPLACE VIEW orders_hourly AS
SELECT
    hour,
    operation,
    countMerge(changes) AS changes_made,
    sumMerge(pieces) AS pieces_in_all,
    sumMerge(amount) AS amount_in_all,
    uniqExactMerge(customers) AS different_customers,
    uniqExactMerge(products) AS different_products
FROM orders_hourly_agg
GROUP BY hour, operation;

-- The same by day: sums of sums, but different customers of the whole day.
CREATE OR REPLACE VIEW orders_daily AS
SELECT
    toDate(hour) AS day,
    operation,
    countMerge(changes) AS changes_made,
    sumMerge(pieces) AS pieces_in_all,
    sumMerge(amount) AS amount_in_all,
    uniqExactMerge(customers) AS different_customers,
    uniqExactMerge(products) AS different_products
FROM orders_hourly_agg
GROUP BY day, operation;
