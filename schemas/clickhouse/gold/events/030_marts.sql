-- Figures for reports. The tables are made anew as a whole every minute: a late event changes days that are over, and a session that
-- goes on is another row. A reader sees the last state whole, and pays nothing for it.

-- How many people were there on each day, UTC.
CREATE TABLE IF NOT EXISTS daily_active_users
(
    day Date32,
    active_users UInt64,
    new_users UInt64 COMMENT 'signed up on that day',
    events UInt64,
    sessions UInt64 COMMENT 'begun on that day'
)
ENGINE = MergeTree
ORDER BY day;

CREATE MATERIALIZED VIEW IF NOT EXISTS daily_active_users_fill REFRESH EVERY 1 MINUTE TO daily_active_users AS
SELECT day, active_users, new_users, events, sessions
FROM
(
    SELECT
        toDate32(timestamp, 'UTC') AS day,
        uniqExact(user_id) AS active_users,
        uniqExactIf(user_id, event_type = 'user_signup') AS new_users,
        count() AS events
    FROM fact_events
    GROUP BY day
) AS of_events
LEFT JOIN
(
    SELECT toDate32(session_start, 'UTC') AS day, count() AS sessions
    FROM silver_sessions_current
    GROUP BY day
) AS of_sessions USING (day);

-- What each user has paid, by currency.
CREATE TABLE IF NOT EXISTS revenue_per_user
(
    user_id String,
    currency LowCardinality(String),
    purchases UInt64,
    lifetime_value Decimal(38, 2),
    average_order_value Decimal(38, 2) COMMENT 'rounded to the cent',
    first_purchase DateTime64(3, 'UTC'),
    last_purchase DateTime64(3, 'UTC')
)
ENGINE = MergeTree
ORDER BY (user_id, currency);

CREATE MATERIALIZED VIEW IF NOT EXISTS revenue_per_user_fill REFRESH EVERY 1 MINUTE TO revenue_per_user AS
SELECT
    user_id,
    assumeNotNull(fact_events.currency) AS currency,
    count() AS purchases,
    sum(assumeNotNull(amount)) AS lifetime_value,
    round(divideDecimal(lifetime_value, toDecimal128(purchases, 0), 4), 2) AS average_order_value,
    min(timestamp) AS first_purchase,
    max(timestamp) AS last_purchase
FROM fact_events
WHERE event_type = 'purchase'
GROUP BY user_id, currency;

-- Who has been away for seven days or more, seen from the end of a day: SELECT * FROM churn_risk(day = '2026-11-21').
CREATE OR REPLACE VIEW churn_risk AS
SELECT
    user_id,
    max(timestamp) AS last_seen,
    dateDiff('day', toDate32(last_seen, 'UTC'), {day:Date32}) AS days_inactive,
    count() AS events,
    countIf(event_type = 'purchase') AS purchases
FROM fact_events
WHERE timestamp < toDateTime64({day:Date32}, 3, 'UTC') + toIntervalDay(1)
GROUP BY user_id
HAVING days_inactive >= 7;
