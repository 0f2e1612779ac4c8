-- What readers ask for. Groups of which every payment was taken back are not shown.

-- Volume and amount by minute.
CREATE OR REPLACE VIEW payments_by_minute AS
SELECT
    minute,
    currency,
    sum(payments) AS volume,
    sum(declined) AS declines,
    sum(reversed) AS reversals,
    sum(amount) AS approved_amount,
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
    sum(declined) AS declines,
    sum(amount) AS approved_amount,
    sum(declined_amount) AS lost_amount,
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
    sum(declined) AS declines,
    sum(amount) AS approved_amount,
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
    sum(declined) AS declines,
    sum(amount) AS approved_amount
FROM hour_sums
GROUP BY day, account_id, segment, currency
HAVING volume > 0;

-- Accounts that somebody should look at, by hour of the clock, with each reason:
--   declines    five payments or more were declined, and more than half of all
--   countries   it paid from four countries or more
--   money       more than 10,000 were approved, in one currency
CREATE OR REPLACE VIEW suspicious_accounts AS
WITH hours AS
(
    SELECT
        hour,
        account_id,
        currency,
        ip,
        sum(payments) AS volume,
        sum(declined) AS declines,
        sum(amount) AS approved_amount
    FROM hour_sums
    GROUP BY hour, account_id, currency, ip
    HAVING volume > 0
)
SELECT hour, account_id, 'declines' AS reason, toString(sum(declines)) AS evidence
FROM hours
GROUP BY hour, account_id
HAVING sum(declines) >= 5 AND sum(declines) * 2 > sum(volume)
UNION ALL
SELECT hour, account_id, 'countries' AS reason, toString(uniqExact(country)) AS evidence
FROM (SELECT hour, account_id, dictGetOrDefault('country_lookup', 'country', tuple(toIPv6(ip)), 'ZZ') AS country FROM hours)
WHERE country != 'ZZ'
GROUP BY hour, account_id
HAVING uniqExact(country) >= 4
UNION ALL
SELECT hour, account_id, 'money' AS reason, concat(toDecimalString(sum(approved_amount), 2), ' ', currency) AS evidence
FROM hours
GROUP BY hour, account_id, currency
HAVING sum(approved_amount) > 10000;
