//! The benchmark of changing versions: each row says which version of the plugin made it.

use std::hint::black_box;

use plugin_sdk::{Ctx, Lowercase, Pass, Reject, Row, Table, pass};

/// The word that the benchmark looks for in the built plugin, and the number behind it that it puts in its place.
static MARK: [u64; 2] = [u64::from_le_bytes(*b"the mark"), 0];

/// An order as it comes.
#[derive(Clone, Copy, Debug, Row)]
#[expect(missing_docs, reason = "columns are named by their source")]
pub struct OrderIn<'a> {
    pub status: &'a str,
    pub email: &'a str,
}

/// An order with its mark.
#[derive(Debug, Table)]
#[table(name = "marks", kind = "append", sort_key = ["id"])]
pub struct Marked<'a> {
    id: Pass<i64>,
    amount: Pass<i64>,
    status: Lowercase<'a>,
    email: Lowercase<'a>,
    mark: u64,
}

fn mark<'a>(order: OrderIn<'a>, _: &Ctx) -> Result<Marked<'a>, Reject> {
    if !order.email.contains('@') {
        return Err(Reject::new("bad_email", "there is no @ in it"));
    }
    let [_, mark] = *black_box(&MARK);
    Ok(Marked {
        id: pass(),
        amount: pass(),
        status: Lowercase(order.status),
        email: Lowercase(order.email.trim()),
        mark,
    })
}

plugin_sdk::export! {
    plugin: Marks,
    format: Envelope,
    input: OrderIn,
    output: Marked,
    row: mark,
}
