-- Figures of the orders as they are now: `orders_current` has each once, and none that was deleted. They are computed when they
-- are asked for, so they are as fresh as silver.

-- Order volume and the trend of revenue. Cancelled orders are counted, and earn nothing.
CREATE OR REPLACE VIEW kpi_orders_by_day AS
SELECT
    order_date,
    count() AS orders,
    countIf(ifNull(status, '') = 'CANCELLED') AS cancelled,
    sumIf(ifNull(total_amount, 0), ifNull(status, '') != 'CANCELLED') AS revenue,
    uniqExact(purchaser) AS customers
FROM orders_current
GROUP BY order_date;

-- How active each customer is; those that never ordered are not here.
CREATE OR REPLACE VIEW kpi_customers AS
SELECT
    orders_current.purchaser AS customer_id,
    any(trim(BOTH ' ' FROM concat(customers_current.first_name, ' ', customers_current.last_name))) AS customer,
    count() AS orders,
    sumIf(ifNull(total_amount, 0), ifNull(status, '') != 'CANCELLED') AS revenue,
    min(order_date) AS first_order,
    max(order_date) AS last_order
FROM orders_current
LEFT JOIN customers_current ON customers_current.id = orders_current.purchaser
GROUP BY customer_id;

-- What each product does, those that nobody ordered included, and at which price it stands now.
CREATE OR REPLACE VIEW kpi_products AS
SELECT
    products_current.id AS product_id,
    any(products_current.name) AS product,
    any(products_current.price) AS price,
    countIf(orders_current.id != 0) AS orders,
    sum(orders_current.quantity) AS pieces,
    sumIf(ifNull(total_amount, 0), ifNull(status, '') != 'CANCELLED') AS revenue,
    uniqExactIf(orders_current.purchaser, orders_current.id != 0) AS customers
FROM products_current
LEFT JOIN orders_current ON orders_current.product_id = products_current.id
GROUP BY product_id;

-- From the commit in the source to the epoch that carried it, by hour of the commit. What the snapshot read is left out: its
-- rows are older than the pipeline.
CREATE OR REPLACE VIEW kpi_latency_by_hour AS
SELECT
    toStartOfHour(toDateTime(assumeNotNull(_source_ts), 'UTC')) AS hour,
    count() AS changes,
    quantileExact(0.5)(dateDiff('millisecond', assumeNotNull(_source_ts), _ingested_at)) AS p50_ms,
    quantileExact(0.99)(dateDiff('millisecond', assumeNotNull(_source_ts), _ingested_at)) AS p99_ms,
    max(dateDiff('millisecond', assumeNotNull(_source_ts), _ingested_at)) AS most_ms
FROM orders_final
WHERE operation != 'r' AND isNotNull(_source_ts)
GROUP BY hour;
