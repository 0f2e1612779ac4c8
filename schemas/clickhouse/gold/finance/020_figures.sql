-- What readers ask for. Amounts are of approved payments alone, and never of two currencies in one. Groups of which every payment
-- was taken back are not shown.

-- Volume and amount by minute.
CREATE OR REPLACE VIEW payments_by_minute AS
SELECT
    minute,
    currency,
    sum(payments) AS volume,
    sumIf(payments, status = 'DECLINED') AS declines,
    sumIf(payments, status = 'REVERSED') AS reversals,
    sumIf(amount_of_all, status = 'APPROVED') AS approved_amount,
    declines / volume AS decline_rate
FROM minute_sums
GROUP BY minute, currency
HAVING volume > 0;

-- By merchant and day, under its name and category of that time.
CREATE OR REPLACE VIEW payments_by_merchant AS
SELECT
    toDate(minute) AS day,
    merchant_id,
    dictGetOrDefault('merchant_lookup', 'name', toUInt64(merchant_id), minute, 'unknown') AS merchant,
    dictGetOrDefault('merchant_lookup', 'category', toUInt64(merchant_id), minute, 'unknown') AS category,
    currency,
    sum(payments) AS volume,
    sumIf(payments, status = 'DECLINED') AS declines,
    sumIf(amount_of_all, status = 'APPROVED') AS approved_amount,
    sumIf(amount_of_all, status = 'DECLINED') AS lost_amount,
    declines / volume AS decline_rate
FROM minute_sums
GROUP BY day, merchant_id, merchant, category, currency
HAVING volume > 0;

-- By the country of the address, and day. ZZ: of no network that is known.
CREATE OR REPLACE VIEW payments_by_country AS
SELECT
    toDate(hour) AS day,
    dictGetOrDefault('country_lookup', 'country', tuple(toIPv6(ip)), 'ZZ') AS country,
    currency,
    sum(payments) AS volume,
    sumIf(payments, status = 'DECLINED') AS declines,
    sumIf(amount_of_all, status = 'APPROVED') AS approved_amount,
    declines / volume AS decline_rate
FROM hour_sums
GROUP BY day, country, currency
HAVING volume > 0;

-- By account and day: the top ones are the first in the order of an amount.
CREATE OR REPLACE VIEW payments_by_account AS
SELECT
    toDate(hour) AS day,
    account_id,
    dictGetOrDefault('account_lookup', 'segment', toUInt64(account_id), 'unknown') AS segment,
    currency,
    sum(payments) AS volume,
    sumIf(payments, status = 'DECLINED') AS declines,
    sumIf(amount_of_all, status = 'APPROVED') AS approved_amount
FROM hour_sums
GROUP BY day, account_id, segment, currency
HAVING volume > 0;

-- Accounts that somebody should look at, by hour of the clock, with each reason:
--   declines    five payments or more were declined, and more than half of all
--   countries   it paid from four countries or more
--   money       more than 100,000 were approved, in one currency
CREATE OR REPLACE VIEW suspicious_accounts AS
SELECT hour, account_id, 'declines' AS reason, toString(sumIf(payments, status = 'DECLINED')) AS evidence
FROM hour_sums
GROUP BY hour, account_id
HAVING sumIf(payments, status = 'DECLINED') >= 5 AND sumIf(payments, status = 'DECLINED') * 2 > sum(payments)
UNION ALL
SELECT hour, account_id, 'countries' AS reason, toString(uniqExact(country)) AS evidence
FROM
(
    SELECT hour, account_id, dictGetOrDefault('country_lookup', 'country', tuple(toIPv6(ip)), 'ZZ') AS country
    FROM hour_sums
    GROUP BY hour, account_id, country
    HAVING sum(payments) > 0 AND country != 'ZZ'
)
GROUP BY hour, account_id
HAVING uniqExact(country) >= 4
UNION ALL
SELECT hour, account_id, 'money' AS reason, concat(toDecimalString(sum(amount_of_all), 2), ' ', currency) AS evidence
FROM hour_sums
WHERE status = 'APPROVED'
GROUP BY hour, account_id, currency
HAVING sum(amount_of_all) > 100000;
