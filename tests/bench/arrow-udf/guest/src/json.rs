//! JSON per record, as the plugins of Redpanda and Fluvio work: one call for each record, bytes in, bytes out.

use std::cell::RefCell;

use plugin_sdk::Decimal;
use serde::{Deserialize, Serialize};

use crate::CONTEXT;
use crate::clean::{Order, clean};

#[derive(Deserialize)]
struct In<'a> {
    id: i64,
    customer_id: i64,
    order_number: &'a str,
    email: &'a str,
    status: &'a str,
    note: Option<&'a str>,
    quantity: i32,
    price: &'a str,
    created_at: &'a str,
    country: &'a str,
}

#[derive(Serialize)]
struct Out<'a> {
    id: i64,
    customer_id: i64,
    order_number: &'a str,
    email: &'a str,
    status: &'a str,
    note: Option<&'a str>,
    quantity: i32,
    price: String,
    created_at: i64,
    country: &'a str,
    total: String,
}

thread_local! {
    /// The answer of the last call, and room for the next.
    static OUT: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Transforms a record. The answer: address and length of the new record in one number; 0 if the record is dropped.
///
/// # Safety
/// `input` points to `len` readable bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn json_record(input: *const u8, len: usize) -> u64 {
    // SAFETY: the caller's promise.
    let bytes = unsafe { std::slice::from_raw_parts(input, len) };
    let Ok(order) = serde_json::from_slice::<In<'_>>(bytes) else { return 0 };
    let Some(price) = Decimal::parse(order.price) else { return 0 };
    let In { id, customer_id, order_number, email, status, note, quantity, created_at, country, .. } = order;
    let order =
        Order { id, customer_id, order_number, email, status, note, quantity, price, created_at, country };
    let Ok(Some(order)) = clean(order, &CONTEXT) else { return 0 };
    let email = order.email.0.to_ascii_lowercase();
    let out = Out {
        id,
        customer_id,
        order_number,
        email: &email,
        status: order.status,
        note: order.note,
        quantity,
        price: order.price.to_string(),
        created_at: order.created_at.units(),
        country,
        total: order.total.to_string(),
    };
    OUT.with_borrow_mut(|bytes| {
        bytes.clear();
        if serde_json::to_writer(&mut *bytes, &out).is_err() {
            return 0;
        }
        (bytes.as_ptr() as u64) << 32 | bytes.len() as u64
    })
}
