//! Shipments as they are now, by a key of two columns.
//!
//! The source says the key alone of a row that is deleted (its replica identity is the default one). That is all that the
//! table of current state needs: the other columns of the row that ends one are null.

use plugin_sdk::{Change, Ctx, Micros, Pass, Reject, Row, Table, Timestamp};

/// What is looked at.
#[derive(Clone, Copy, Debug, Default, Row)]
pub struct ShipmentIn<'a> {
    /// Who brings it, as typed in.
    pub carrier: Option<&'a str>,
}

/// A shipment as it is now.
#[derive(Default, Table)]
#[table(name = "shipments", kind = "current", sort_key = ["order_id", "line"])]
pub struct Shipment<'a> {
    order_id: Pass<i32>,
    line: Pass<i16>,
    /// Trimmed; null where there is nothing but spaces.
    #[column(clickhouse = "LowCardinality(Nullable(String))")]
    carrier: Option<&'a str>,
    #[column(codec = "DoubleDelta, ZSTD(1)")]
    shipped_at: Pass<Option<Timestamp<Micros>>>,
}

#[expect(clippy::unnecessary_wraps, reason = "the form of a row function")]
fn clean<'a>(change: Change<ShipmentIn<'a>>, _: &Ctx) -> Result<Shipment<'a>, Reject> {
    let carrier = change.row.carrier.map(str::trim).filter(|carrier| !carrier.is_empty());
    Ok(Shipment { carrier, ..Shipment::default() })
}

plugin_sdk::export! {
    plugin: Shipments,
    input: Change<ShipmentIn>,
    output: Shipment,
    row: clean,
}
