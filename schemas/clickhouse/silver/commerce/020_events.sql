-- Events, each once, as the newest row of it says. `silver_events` has a row for each change that came: an event that was updated
-- has several, and so has one that a connector sent again after its restart.
CREATE OR REPLACE VIEW v_silver_events_current AS
SELECT event_id, user_id, event_type, timestamp, metadata
FROM silver_events
WHERE (event_id, _version) IN (SELECT event_id, max(_version) FROM silver_events GROUP BY event_id);
