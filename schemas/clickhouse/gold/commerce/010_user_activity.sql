-- What each user did on each day (of the event, in UTC).
--
-- Made anew as a whole, every minute, and put in place at once: an update may take an event from one day, user or type to another,
-- which no view over inserted rows can follow, and readers see the table before or after, never between. A day depends on
-- silver alone, so made again it is the same: `engine schema backfill --table gold_user_activity` does so at once, after it has
-- looked whether silver is whole. Where a minute is too short for all days, let REFRESH be rarer.
CREATE TABLE IF NOT EXISTS gold_user_activity
(
    day Date,
    user_id Int64,
    total_events UInt64,
    distinct_event_types UInt64,
    first_event DateTime64(3, 'UTC'),
    last_event DateTime64(3, 'UTC')
)
ENGINE = MergeTree
PARTITION BY day
ORDER BY (day, user_id);

CREATE MATERIALIZED VIEW IF NOT EXISTS gold_user_activity_fill REFRESH EVERY 1 MINUTE TO gold_user_activity AS
SELECT
    toDate(events.timestamp) AS day,
    assumeNotNull(events.user_id) AS user_id,
    count() AS total_events,
    uniqExact(events.event_type) AS distinct_event_types,
    min(events.timestamp) AS first_event,
    max(events.timestamp) AS last_event
FROM v_silver_events_current AS events
WHERE isNotNull(events.user_id)
GROUP BY day, user_id
SETTINGS max_partitions_per_insert_block = 100000;

-- For readers: with the user as they are now. Who is unknown, or was deleted, did what they did all the same.
CREATE OR REPLACE VIEW v_gold_user_activity AS
SELECT
    activity.day AS day,
    activity.user_id AS user_id,
    users.full_name AS full_name,
    users.email AS email,
    activity.total_events AS total_events,
    activity.distinct_event_types AS distinct_event_types,
    activity.first_event AS first_event,
    activity.last_event AS last_event
FROM gold_user_activity AS activity
LEFT JOIN v_silver_users_current AS users ON activity.user_id = users.user_id
SETTINGS join_use_nulls = 1;
