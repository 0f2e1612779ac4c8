-- Payments with what is known of account, merchant and address: of the merchant as it was when they were made, of the others
-- as it is now. Nothing of this is stored, so reference data that comes late or is put right is there at once, in each payment.
CREATE OR REPLACE VIEW transactions_enriched AS
SELECT
    transaction_id,
    occurred_at,
    account_id,
    dictGetOrDefault('account_lookup', 'segment', toUInt64(account_id), 'unknown') AS account_segment,
    dictGetOrDefault('account_lookup', 'country', toUInt64(account_id), 'ZZ') AS account_country,
    merchant_id,
    dictGetOrDefault('merchant_lookup', 'name', toUInt64(merchant_id), toDateTime(occurred_at), 'unknown') AS merchant_name,
    dictGetOrDefault('merchant_lookup', 'category', toUInt64(merchant_id), toDateTime(occurred_at), 'unknown') AS merchant_category,
    card_issuer,
    card_last_four,
    amount,
    currency,
    status,
    decline_reason,
    channel,
    ip,
    dictGetOrDefault('country_lookup', 'country', tuple(toIPv6(ip)), 'ZZ') AS ip_country
FROM transactions_current
WHERE isNull(fault);
