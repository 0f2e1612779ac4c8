//! Orders from a shop's database: the current state of each order, and the history of all of them.
//!
//! Of twelve columns four cross into the plugin; the others go from the message to the tables as they are.

use plugin_sdk::{Change, Ctx, Date, Decimal, Micros, Pass, Reject, Row, Table, WallClock, text};

/// What is looked at.
#[derive(Clone, Copy, Debug, Default, Row)]
pub struct OrderIn<'a> {
    /// Pieces.
    pub quantity: i32,
    /// Price of a piece.
    pub unit_price: Option<Decimal<10, 2>>,
    /// A generated column: PostgreSQL publishes it in the snapshot and leaves it out of the stream.
    pub total_amount: Option<Decimal<12, 2>>,
    /// One of [`STATUSES`], in any case, perhaps with spaces around it.
    pub status: Option<&'a str>,
}

/// An order as it is now.
#[derive(Default, Table)]
#[table(name = "orders", kind = "current", sort_key = ["id"])]
pub struct Order<'a> {
    id: Pass<i32>,
    order_number: Pass<Option<&'a str>>,
    order_date: Pass<Date>,
    order_time: Pass<Option<WallClock<Micros>>>,
    purchaser: Pass<i32>,
    quantity: Pass<i32>,
    product_id: Pass<i32>,
    unit_price: Pass<Option<Decimal<10, 2>>>,
    /// The source's, or quantity times unit price where the stream leaves it out.
    total_amount: Option<Decimal<12, 2>>,
    /// Trimmed, in capital letters.
    #[column(clickhouse = "LowCardinality(Nullable(String))")]
    status: Option<&'a str>,
    created_at: Pass<Option<WallClock<Micros>>>,
    updated_at: Pass<Option<WallClock<Micros>>>,
}

/// An order as it was after each change, deletes included.
#[derive(Default, Table)]
#[table(name = "orders_final", kind = "append", sort_key = ["order_date", "id"], partition_by = "toYYYYMM(order_date)")]
pub struct OrderFinal<'a> {
    #[column(codec = "T64, ZSTD(1)")]
    id: Pass<i32>,
    #[column(codec = "ZSTD(1)")]
    order_number: Pass<Option<&'a str>>,
    #[column(codec = "DoubleDelta, ZSTD(1)")]
    order_date: Pass<Date>,
    #[column(codec = "DoubleDelta, ZSTD(1)")]
    order_time: Pass<Option<WallClock<Micros>>>,
    #[column(codec = "T64, ZSTD(1)")]
    purchaser: Pass<i32>,
    #[column(codec = "T64, ZSTD(1)")]
    quantity: Pass<i32>,
    #[column(codec = "T64, ZSTD(1)")]
    product_id: Pass<i32>,
    #[column(codec = "T64, ZSTD(1)")]
    unit_price: Pass<Option<Decimal<10, 2>>>,
    /// The source's, or quantity times unit price where the stream leaves it out.
    #[column(codec = "T64, ZSTD(1)")]
    total_amount: Option<Decimal<12, 2>>,
    /// Trimmed, in capital letters.
    #[column(clickhouse = "LowCardinality(Nullable(String))")]
    status: Option<&'a str>,
    #[column(codec = "DoubleDelta, ZSTD(1)")]
    created_at: Pass<Option<WallClock<Micros>>>,
    #[column(codec = "DoubleDelta, ZSTD(1)")]
    updated_at: Pass<Option<WallClock<Micros>>>,
    /// c, u, d or r.
    #[column(clickhouse = "LowCardinality(String)")]
    operation: &'static str,
    /// INSERT, UPDATE, DELETE or READ.
    #[column(clickhouse = "LowCardinality(String)")]
    operation_name: &'static str,
}

/// What an order can be.
pub const STATUSES: [&str; 5] = ["PENDING", "CONFIRMED", "SHIPPED", "DELIVERED", "CANCELLED"];

fn clean<'a>(change: Change<OrderIn<'a>>, _: &Ctx) -> Result<(Order<'a>, OrderFinal<'a>), Reject> {
    let order = &change.row;
    // A delete is never rejected: it may carry the key alone, and a row that is not deleted would stay for ever.
    let (status, total_amount) = if change.deleted() {
        (order.status.map(|text| known_status(text).unwrap_or(text)), order.total_amount.or(amount(order)))
    } else {
        check(order)?
    };
    let (operation, operation_name) = (change.op.as_str(), change.op.name());
    let current = Order { total_amount, status, ..Order::default() };
    let history = OrderFinal { total_amount, status, operation, operation_name, ..OrderFinal::default() };
    Ok((current, history))
}

type Checked<'a> = (Option<&'a str>, Option<Decimal<12, 2>>);

fn check<'a>(order: &OrderIn<'a>) -> Result<Checked<'a>, Reject> {
    if order.quantity <= 0 {
        return Err(Reject::new("bad_quantity", "an order is for one piece at least"));
    }
    let status = match order.status.map(known_status) {
        Some(None) => return Err(Reject::new("unknown_status", "the status is none of those that an order can have")),
        known => known.flatten(),
    };
    let total_amount = order.total_amount.or(amount(order));
    if total_amount.is_none() && order.unit_price.is_some() {
        return Err(Reject::new("amount_out_of_range", "quantity times unit price has more than twelve digits"));
    }
    Ok((status, total_amount))
}

/// What the generated column holds.
fn amount(order: &OrderIn<'_>) -> Option<Decimal<12, 2>> {
    order.unit_price?.checked_mul(i64::from(order.quantity))
}

fn known_status(status: &str) -> Option<&'static str> {
    let status = text::trim(status);
    STATUSES.into_iter().find(|known| text::eq_ignore_ascii_case(known, status))
}

plugin_sdk::export! {
    plugin: Orders,
    input: Change<OrderIn>,
    output: (Order, OrderFinal),
    row: clean,
}
