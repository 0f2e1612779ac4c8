//! Orders as Debezium writes them, as many as a test wants: envelopes without schema, about 750 bytes each.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

/// The topic that the plugin `orders` reads.
pub const TOPIC: &str = "postgres-server.inventory.orders";

/// Hundredths of the price of a piece: up to 1,000.00, in no order.
#[must_use]
pub fn unit_price_cents(id: i64) -> i64 {
    1 + id.wrapping_mul(7_919).rem_euclid(100_000)
}

/// Pieces: 1 to 9.
#[must_use]
pub fn quantity(id: i64) -> i64 {
    1 + id % 9
}

/// Who ordered: one of 10,000.
#[must_use]
pub fn purchaser(id: i64) -> i64 {
    1 + id % 10_000
}

/// Key and value of the message that says: order `id` was created. Each order is another.
#[must_use]
pub fn created(id: i64) -> (String, String) {
    const STATUSES: [&str; 5] = ["PENDING", "CONFIRMED", "SHIPPED", "DELIVERED", "CANCELLED"];
    let status = STATUSES[usize::try_from(id).expect("ids count from 0") % STATUSES.len()];
    let (quantity, cents) = (quantity(id), unit_price_cents(id));
    let at = 1_753_093_000_000_000 + id * 1_001; // microseconds; a million orders take 17 minutes
    let (at_ms, lsn) = (at / 1_000, 36_067_144 + id * 8);
    let (price, amount) = (decimal(cents), decimal(cents * quantity));
    let value = format!(
        "{{\"before\":null,\"after\":{{\"id\":{id},\"order_number\":\"ORD-{id}\",\"order_date\":{},\"order_time\":{at},\
         \"purchaser\":{},\"quantity\":{quantity},\"product_id\":{},\"unit_price\":\"{price}\",\
         \"total_amount\":\"{amount}\",\"status\":\"{status}\",\"created_at\":{at},\"updated_at\":{at}}},\
         \"source\":{{\"version\":\"3.7.0.Final\",\"connector\":\"postgresql\",\"name\":\"postgres-server\",\
         \"ts_ms\":{at_ms},\"snapshot\":\"false\",\"db\":\"inventory\",\"sequence\":\"[\\\"{lsn}\\\",\\\"{lsn}\\\"]\",\
         \"ts_us\":{at},\"ts_ns\":{at}000,\"schema\":\"inventory\",\"table\":\"orders\",\"txId\":{},\"lsn\":{lsn},\
         \"xmin\":null,\"origin\":null,\"origin_lsn\":null}},\"transaction\":null,\"op\":\"c\",\"ts_ms\":{at_ms},\
         \"ts_us\":{at},\"ts_ns\":{at}000}}",
        20_290 + id % 28,
        purchaser(id),
        1 + id % 500,
        759 + id,
    );
    (format!("{{\"id\":{id}}}"), value)
}

/// As Connect writes a decimal: base64 of the unscaled value, big-endian two's complement, as short as it can be.
fn decimal(unscaled: i64) -> String {
    let bytes = unscaled.to_be_bytes();
    let sign = if unscaled < 0 { 0xff } else { 0 };
    // A leading byte that only repeats the sign goes, if the next one still shows it.
    let spare = bytes.windows(2).take_while(|pair| pair[0] == sign && (pair[1] ^ sign) & 0x80 == 0).count();
    BASE64_STANDARD.encode(&bytes[spare..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_written_as_debezium_writes_them() {
        // The first two from a recording: 49.90 and 12.50.
        let known =
            [(4990, "E34="), (1250, "BOI="), (0, "AA=="), (127, "fw=="), (128, "AIA="), (-1, "/w=="), (-129, "/38=")];
        for (unscaled, text) in known {
            assert_eq!(decimal(unscaled), text, "{unscaled}");
        }
    }

    #[test]
    fn an_order_is_json() {
        let (key, value) = created(1_234);
        let value: serde_json::Value = serde_json::from_str(&value).expect("JSON");
        assert_eq!(key, "{\"id\":1234}");
        assert_eq!(value["after"]["id"], 1_234);
        assert_eq!(value["source"]["sequence"], "[\"36077016\",\"36077016\"]");
    }
}
