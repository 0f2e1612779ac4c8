//! Payments that an application sends, and sends again when it is not sure: each once.

use plugin_sdk::{Ctx, Late, Millis, Pass, Reject, Row, Table, Timestamp, days, minutes, pass};

/// What is looked at: fields of the message, by name. `Option` where they may be null.
#[derive(Clone, Copy, Debug, Default, Row)]
pub struct PaymentIn<'a> {
    /// Of a payment that is sent again it is the same.
    pub payment_key: &'a str,
    /// When it was made, by the application's clock.
    pub paid_at: Timestamp<Millis>,
    /// In the smallest unit of its currency.
    pub cents: i64,
}

/// A row of the table.
#[derive(Table)]
#[table(name = "{{table}}", kind = "append", sort_key = ["paid_at"], partition_by = "toYYYYMM(paid_at)")]
pub struct Payment<'a> {
    payment_key: Pass<&'a str>, // goes from the message to the table as it is
    paid_at: Pass<Timestamp<Millis>>,
    cents: i64,
    #[column(clickhouse = "LowCardinality(String)")]
    currency: Pass<&'a str>,
}

/// Checks a payment. What is rejected here does not use its key up.
fn check<'a>(payment: PaymentIn<'a>, _: &Ctx) -> Result<Payment<'a>, Reject> {
    if payment.payment_key.is_empty() {
        return Err(Reject::new("no_key", "a payment has a payment_key"));
    }
    if payment.cents <= 0 {
        return Err(Reject::new("bad_amount", "an amount is above zero"));
    }
    Ok(Payment {
        payment_key: pass(),
        paid_at: pass(),
        cents: payment.cents,
        currency: pass(),
    })
}

plugin_sdk::export! {
    plugin: Plugin,
    format: Flat,
    input: PaymentIn,
    output: Payment,
    event_time: of(|payment| payment.paid_at).delay(minutes(1)).late(Late::Reject),
    dedup: by(|payment| payment.payment_key).within(days(7)),
    row: check,
}
