-- Reference data, where a payment finds it: dictionaries in the server's memory, made of the tables that the engine keeps
-- current. They read as user `default` without a password, on this server; where there is none, name another one in
-- SOURCE(CLICKHOUSE(TABLE '…' USER '…' PASSWORD '…')), or a named collection.

-- What merchants were, from minute to minute. Gold counts by the minute, so a change takes effect with the next full one; of
-- several in one minute the last. What is known of a merchant first holds for all time before.
CREATE OR REPLACE VIEW merchant_versions AS
SELECT
    toUInt64(merchant_id) AS merchant_id,
    name,
    category,
    country,
    if(first, toDateTime(0, 'UTC'), starts) AS valid_from,
    ifNull(ends, toDateTime(4294967295, 'UTC')) - 1 AS valid_until
FROM
(
    SELECT
        merchant_id,
        name,
        category,
        country,
        row_number() OVER (PARTITION BY merchant_id ORDER BY effective_start) = 1 AS first,
        toDateTime(ceil(toUnixTimestamp64Milli(effective_start) / 60000) * 60, 'UTC') AS starts,
        toDateTime(ceil(toUnixTimestamp64Milli(effective_end) / 60000) * 60, 'UTC') AS ends
    FROM dim_merchants_current
)
WHERE first OR isNull(ends) OR ends > starts;

CREATE OR REPLACE DICTIONARY merchant_lookup
(
    merchant_id UInt64,
    valid_from DateTime,
    valid_until DateTime,
    name String,
    category String,
    country String
)
PRIMARY KEY merchant_id
SOURCE(CLICKHOUSE(TABLE 'merchant_versions'))
LAYOUT(RANGE_HASHED())
RANGE(MIN valid_from MAX valid_until)
LIFETIME(MIN 1 MAX 3);

CREATE OR REPLACE VIEW account_facts AS
SELECT toUInt64(account_id) AS account_id, segment, country FROM accounts_current;

CREATE OR REPLACE DICTIONARY account_lookup
(
    account_id UInt64,
    segment String,
    country String
)
PRIMARY KEY account_id
SOURCE(CLICKHOUSE(TABLE 'account_facts'))
LAYOUT(HASHED())
LIFETIME(MIN 1 MAX 3);

CREATE OR REPLACE VIEW network_countries AS
SELECT network, country FROM networks_current;

-- Of the networks that hold an address, the narrowest says: a search in a trie, whatever they are and however many.
CREATE OR REPLACE DICTIONARY country_lookup
(
    network String,
    country String
)
PRIMARY KEY network
SOURCE(CLICKHOUSE(TABLE 'network_countries'))
LAYOUT(IP_TRIE())
LIFETIME(MIN 1 MAX 3);
