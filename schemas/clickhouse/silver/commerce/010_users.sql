-- Users as they are, each once and none that was deleted. The engine makes `silver_users`, a ReplacingMergeTree by its own version
-- (a message's place in the topic, no clock), and the view below; `FINAL` is in that view, and no reader has to know of it.
CREATE OR REPLACE VIEW v_silver_users_current AS
SELECT user_id, full_name, email, created_at, updated_at
FROM silver_users_current;
