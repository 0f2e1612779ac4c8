//! The function that is measured: ten columns of an order, checked and cleaned, a timestamp read from text, one order
//! of a hundred dropped, a column added. Every column crosses the border in both directions.

use plugin_sdk::{Ctx, Decimal, Lowercase, Micros, Reject, Row, Table, Timestamp, text};

/// An order as its source has it.
#[derive(Clone, Copy, Debug, Row)]
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

/// An order as its table has it.
#[derive(Debug, Table)]
#[table(name = "orders", kind = "append", sort_key = ["id"])]
pub struct CleanOrder<'a> {
    pub id: i64,
    pub customer_id: i64,
    pub order_number: &'a str,
    pub email: Lowercase<'a>,
    pub status: &'a str,
    pub note: Option<&'a str>,
    pub quantity: i32,
    pub price: Decimal<12, 2>,
    pub created_at: Timestamp<Micros>,
    pub country: &'a str,
    pub total: Decimal<14, 2>,
}

const STATUSES: [&str; 5] = ["PENDING", "CONFIRMED", "SHIPPED", "DELIVERED", "CANCELLED"];

/// Cleans an order. Orders of the shop's own testers are dropped.
///
/// # Errors
/// What is wrong with the order.
pub fn clean<'a>(order: Order<'a>, _: &Ctx) -> Result<Option<CleanOrder<'a>>, Reject> {
    let status = text::trim(order.status);
    if status == "TEST" {
        return Ok(None);
    }
    if order.quantity <= 0 || order.price.is_negative() {
        return Err(Reject::new("bad_amount", "an order is for one piece at least, at a price"));
    }
    let email = text::trim(order.email);
    if !text::contains(email, b'@') {
        return Err(Reject::new("bad_email", "an address has an @"));
    }
    let known = STATUSES.into_iter().find(|known| text::eq_ignore_ascii_case(known, status));
    let status = known.ok_or_else(|| Reject::new("unknown_status", "the status is none that an order can have"))?;
    let created_at = Timestamp::parse(order.created_at);
    let created_at = created_at.ok_or_else(|| Reject::new("bad_time", "the time of creation is no time"))?;
    let total = order.price.checked_mul(i64::from(order.quantity));
    let total = total.ok_or_else(|| Reject::new("amount_out_of_range", "the total has more than 14 digits"))?;
    Ok(Some(CleanOrder {
        id: order.id,
        customer_id: order.customer_id,
        order_number: order.order_number,
        email: Lowercase(email),
        status,
        note: order.note.map(text::trim).filter(|note| !note.is_empty()),
        quantity: order.quantity,
        price: order.price,
        created_at,
        country: order.country,
        total,
    }))
}
