//! Card payments: each as it is now, cleaned and without its card's number, and the bookings that sums are made of.
//!
//! A sum over inserts counts a payment again when it changes, and goes on counting it when it is gone. So a change is booked
//! as an accountant does it: what stood there is taken back, what stands there now is added. Bookings are only ever
//! appended, and a view that adds them up as they come is right at any moment. What a booking takes back is what the message
//! says of the row before, judged as it was judged when it came, so nothing has to be remembered:
//!
//! | before | after | transactions | bookings |
//! |---|---|---|---|
//! | – | good | the row | + after |
//! | good | good | the row | − before, + after |
//! | bad | good | the row | + after |
//! | good | bad | the row, with its `fault` | − before |
//! | – or bad | bad | set aside: a dead letter | |
//! | good | deleted | deleted | − before |
//! | bad | deleted | deleted | |
//! | not in the message | changed or deleted | set aside: a dead letter | |
//!
//! The fourth row is no dead letter because something has to be taken back, and a message is either rows or a letter. The
//! last one is what comes of a table without `REPLICA IDENTITY FULL`: payment and sums stay as they were, together.

pub mod check;

use std::borrow::Cow;

use plugin_sdk::{Change, Ctx, Decimal, Micros, Op, Pass, Reject, Row, Table, Timestamp, pass};

use check::{Checked, Fault, check};

/// What is looked at, before and after a change.
#[derive(Clone, Copy, Debug, Row)]
pub struct TransactionIn<'a> {
    /// The payment.
    pub transaction_id: i64,
    /// Who pays.
    pub account_id: i32,
    /// Who is paid.
    pub merchant_id: i32,
    /// In clear: it does not get out of here.
    pub card_number: &'a str,
    /// Above zero.
    pub amount: Decimal<12, 2>,
    /// One of [`check::CURRENCIES`], in any case, perhaps with spaces around it.
    pub currency: &'a str,
    /// One of [`check::STATUSES`], likewise.
    pub status: &'a str,
    /// An address of IPv4 or IPv6.
    pub ip: &'a str,
    /// When it was paid.
    pub occurred_at: Timestamp<Micros>,
}

/// A payment as it is now. `transactions_current` has those that are there; those with a `fault` count nowhere.
#[derive(Table)]
#[table(name = "transactions", kind = "current", sort_key = ["transaction_id"])]
pub struct Transaction<'a> {
    transaction_id: Pass<i64>,
    account_id: Pass<i32>,
    merchant_id: Pass<i32>,
    /// The card's first six digits: who issued it. Empty where it has no such number.
    #[column(clickhouse = "LowCardinality(String)")]
    card_issuer: &'a str,
    /// The card's last four digits: with the issuer's all that PCI DSS lets stand in clear.
    card_last_four: &'a str,
    amount: Pass<Decimal<12, 2>>,
    /// Trimmed, in capital letters.
    #[column(clickhouse = "LowCardinality(String)")]
    currency: &'a str,
    /// APPROVED, DECLINED or REVERSED.
    #[column(clickhouse = "LowCardinality(String)")]
    status: &'a str,
    #[column(clickhouse = "LowCardinality(Nullable(String))")]
    decline_reason: Pass<Option<&'a str>>,
    #[column(clickhouse = "LowCardinality(String)")]
    channel: Pass<&'a str>,
    /// In the one form that RFC 5952 leaves; an address of IPv4 within IPv6 is one of IPv4.
    ip: Cow<'a, str>,
    #[column(codec = "DoubleDelta, ZSTD(1)")]
    occurred_at: Pass<Timestamp<Micros>>,
    /// What a change has made impossible of a payment that was good; null: nothing.
    #[column(clickhouse = "LowCardinality(Nullable(String))")]
    fault: Option<&'static str>,
}

/// What a change adds to sums, or takes back: the sum of `sign` over a payment's bookings is 1 while it counts and 0 when not.
#[derive(Table)]
#[table(name = "bookings", kind = "append", sort_key = ["occurred_at", "transaction_id"], partition_by = "toYYYYMM(occurred_at)")]
pub struct Booking<'a> {
    #[column(codec = "DoubleDelta, ZSTD(1)")]
    transaction_id: i64,
    /// 1 or -1.
    sign: i8,
    account_id: i32,
    merchant_id: i32,
    amount: Decimal<12, 2>,
    #[column(clickhouse = "LowCardinality(String)")]
    currency: &'a str,
    /// APPROVED, DECLINED or REVERSED.
    #[column(clickhouse = "LowCardinality(String)")]
    status: &'a str,
    ip: Cow<'a, str>,
    #[column(codec = "DoubleDelta, ZSTD(1)")]
    occurred_at: Timestamp<Micros>,
}

/// Both tables' rows of one change.
type Booked<'a> = (Transaction<'a>, Bookings<'a>);
/// At most two: the first takes back. An allocation for the few that change; an insert's is one as well.
type Bookings<'a> = Vec<Booking<'a>>;

fn book<'a>(change: Change<TransactionIn<'a>, Option<TransactionIn<'a>>>, _: &Ctx) -> Result<Booked<'a>, Reject> {
    let before = match (change.op, change.before) {
        (Op::Create | Op::Read, _) => None,
        (Op::Update | Op::Delete, Some(before)) => Some(before),
        (Op::Update | Op::Delete, None) => {
            return Err(Reject::new("no_row_before", "the table is to have REPLICA IDENTITY FULL"));
        }
    };
    let back = before.and_then(|before| Some(booking(&before, &check(&before).ok()?, -1)));
    let checked = check(&change.row);
    if change.deleted() {
        return Ok((transaction(&change.row, checked), back.into_iter().collect()));
    }
    if let (Err(fault), None) = (&checked, &back) {
        return Err(fault.reject());
    }
    let now = checked.as_ref().ok().map(|checked| booking(&change.row, checked, 1));
    Ok((transaction(&change.row, checked), back.into_iter().chain(now).collect()))
}

fn transaction<'a>(row: &TransactionIn<'a>, checked: Result<Checked<'a>, Fault>) -> Transaction<'a> {
    // What can't be is shown as it came, but for a card's number.
    let fault = checked.as_ref().err().map(Fault::code);
    let Checked { card_issuer, card_last_four, currency, status, ip } = checked.unwrap_or(Checked {
        card_issuer: "",
        card_last_four: "",
        currency: row.currency,
        status: row.status,
        ip: Cow::Borrowed(row.ip),
    });
    Transaction {
        transaction_id: pass(),
        account_id: pass(),
        merchant_id: pass(),
        card_issuer,
        card_last_four,
        amount: pass(),
        currency,
        status,
        decline_reason: pass(),
        channel: pass(),
        ip,
        occurred_at: pass(),
        fault,
    }
}

fn booking<'a>(row: &TransactionIn<'a>, checked: &Checked<'a>, sign: i8) -> Booking<'a> {
    let TransactionIn { transaction_id, account_id, merchant_id, amount, occurred_at, .. } = *row;
    let Checked { currency, status, ref ip, .. } = *checked;
    Booking { transaction_id, sign, account_id, merchant_id, amount, currency, status, ip: ip.clone(), occurred_at }
}

plugin_sdk::export! {
    plugin: Transactions,
    input: Change<TransactionIn, Option<TransactionIn>>,
    output: (Transaction, Vec<Booking>),
    row: book,
}
