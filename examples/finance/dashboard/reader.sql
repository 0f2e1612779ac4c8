-- Who the dashboard is: a user that reads figures and payments without card numbers, and nothing else. Not bronze, not dead
-- letters: both hold what came, in clear.
CREATE USER IF NOT EXISTS dashboard IDENTIFIED BY 'look' SETTINGS max_execution_time = 10, max_memory_usage = 1000000000;
GRANT SELECT ON silver.bookings TO dashboard;
GRANT SELECT ON silver.transactions TO dashboard;
GRANT SELECT ON silver.transactions_current TO dashboard;
GRANT SELECT ON silver.transactions_enriched TO dashboard;
GRANT SELECT ON silver.minute_sums TO dashboard;
GRANT SELECT ON silver.hour_sums TO dashboard;
GRANT SELECT ON silver.payments_by_minute TO dashboard;
GRANT SELECT ON silver.payments_by_merchant TO dashboard;
GRANT SELECT ON silver.payments_by_country TO dashboard;
GRANT SELECT ON silver.payments_by_account TO dashboard;
GRANT SELECT ON silver.suspicious_accounts TO dashboard;
GRANT dictGet ON silver.merchant_lookup TO dashboard;
GRANT dictGet ON silver.account_lookup TO dashboard;
GRANT dictGet ON silver.country_lookup TO dashboard;
