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
