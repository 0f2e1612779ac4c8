//! Orders of five columns: every change of them, deletes included, and each order as it is now.
//!
//! One column crosses into the plugin, to be checked; the others go from the message to the tables as they are. Days that
//! the message counts from 1970 (`"order_date": 18896`) are dates because the tables say [`Date`].

use plugin_sdk::{Change, Ctx, Date, Pass, Reject, Row, Table};

/// What is looked at.
#[derive(Clone, Copy, Debug, Default, Row)]
pub struct OrderIn {
    /// Pieces.
    pub quantity: i32,
}

/// An order as it is now.
#[derive(Default, Table)]
#[table(name = "orders", kind = "current", sort_key = ["id"])]
pub struct Order {
    id: Pass<i32>,
    order_date: Pass<Date>,
    purchaser: Pass<i32>,
    quantity: Pass<i32>,
    product_id: Pass<i32>,
}

/// An order as it was after each change; of a delete, as it was before.
#[derive(Default, Table)]
#[table(name = "orders_final", kind = "append", sort_key = ["order_date", "id"], partition_by = "toYYYYMM(order_date)")]
pub struct OrderFinal {
    id: Pass<i32>,
    #[column(codec = "DoubleDelta, ZSTD(1)")]
    order_date: Pass<Date>,
    #[column(codec = "T64, ZSTD(1)")]
    purchaser: Pass<i32>,
    #[column(codec = "T64, ZSTD(1)")]
    quantity: Pass<i32>,
    #[column(codec = "T64, ZSTD(1)")]
    product_id: Pass<i32>,
    /// c, u, d or r.
    #[column(clickhouse = "LowCardinality(String)")]
    operation: &'static str,
}

fn clean(change: Change<OrderIn>, _: &Ctx) -> Result<(Order, OrderFinal), Reject> {
    // A delete is never rejected: the order that it ends would stay for ever.
    if !change.deleted() && change.row.quantity <= 0 {
        return Err(Reject::new("bad_quantity", "an order is for one piece at least"));
    }
    Ok((Order::default(), OrderFinal { operation: change.op.as_str(), ..OrderFinal::default() }))
}

plugin_sdk::export! {
    plugin: OrdersSimple,
    input: Change<OrderIn>,
    output: (Order, OrderFinal),
    row: clean,
}
