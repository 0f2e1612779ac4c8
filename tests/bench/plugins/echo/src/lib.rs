//! The border's benchmark: ten columns in, the same ten out, by whole columns. What crossing alone costs.

use plugin_sdk::{Batch, Ctx, Decimal, Emit, Origin, Row, Table};

/// An order as it comes.
#[derive(Debug, Row)]
#[expect(missing_docs, reason = "columns are named by their source")]
pub struct Order<'a> {
    pub id: i64,
    pub customer_id: i64,
    pub order_number: &'a str,
    pub email: &'a str,
    pub status: &'a str,
    pub note: Option<&'a str>,
    pub quantity: i32,
    pub price: Decimal<12, 2>,
    pub created_at: &'a str,
    pub country: &'a str,
}

/// An order as it goes.
#[derive(Debug, Table)]
#[table(name = "orders", kind = "append", sort_key = ["id"])]
#[expect(missing_docs, reason = "columns are named by their source")]
pub struct SameOrder<'a> {
    pub id: i64,
    pub customer_id: i64,
    pub order_number: &'a str,
    pub email: &'a str,
    pub status: &'a str,
    pub note: Option<&'a str>,
    pub quantity: i32,
    pub price: Decimal<12, 2>,
    pub created_at: &'a str,
    pub country: &'a str,
}

fn echo(batch: &Batch<'_, Order<'_>>, emit: &mut Emit<SameOrder<'_>>, _: &Ctx) -> Result<(), String> {
    let (from, to) = (&batch.columns, &mut emit.tables.columns);
    to.id.extend_from_slice(&from.id);
    to.customer_id.extend_from_slice(&from.customer_id);
    to.order_number.extend_from(&from.order_number);
    to.email.extend_from(&from.email);
    to.status.extend_from(&from.status);
    to.note.extend_from(&from.note, batch.len(), |bytes, texts| bytes.extend_from(texts));
    to.quantity.extend_from_slice(&from.quantity);
    to.price.extend_from_slice(&from.price);
    to.created_at.extend_from(&from.created_at);
    to.country.extend_from(&from.country);
    emit.tables.set_origin(Origin::all(batch.len()));
    Ok(())
}

plugin_sdk::export! {
    plugin: Echo,
    input: Order,
    output: SameOrder,
    batch: echo,
}
