//! Payments, into a table for each method.

use plugin_sdk::{Change, Ctx, Decimal, Pass, Reject, Row, Table, pass};

/// What is looked at: columns of the changed row, by name. `Option` where they may be null.
#[derive(Clone, Copy, Debug, Default, Row)]
pub struct PaymentIn<'a> {
    /// `card` or `transfer`, in any case.
    pub method: &'a str,
    /// What the payer wrote.
    pub reference: Option<&'a str>,
}

/// A payment by card.
#[derive(Table)]
#[table(name = "{{table}}_by_card", kind = "append", sort_key = ["id"])]
pub struct ByCard {
    id: Pass<i64>, // goes from the message to the table as it is, without entering the plugin
    amount: Pass<Decimal<12, 2>>,
}

/// A payment by transfer.
#[derive(Table)]
#[table(name = "{{table}}_by_transfer", kind = "append", sort_key = ["id"])]
pub struct ByTransfer<'a> {
    id: Pass<i64>,
    amount: Pass<Decimal<12, 2>>,
    reference: Option<&'a str>,
}

/// One value for each table; `None` where the change is no row of it.
fn route<'a>(
    change: Change<PaymentIn<'a>>,
    _: &Ctx,
) -> Result<(Option<ByCard>, Option<ByTransfer<'a>>), Reject> {
    let PaymentIn { method, reference } = change.row;
    if change.deleted() {
        return Ok((None, None)); // what was paid stays in the books
    }
    if method.eq_ignore_ascii_case("card") {
        Ok((
            Some(ByCard {
                id: pass(),
                amount: pass(),
            }),
            None,
        ))
    } else if method.eq_ignore_ascii_case("transfer") {
        let reference = reference.map(str::trim);
        Ok((
            None,
            Some(ByTransfer {
                id: pass(),
                amount: pass(),
                reference,
            }),
        ))
    } else {
        Err(Reject::new(
            "unknown_method",
            "neither by card nor by transfer",
        ))
    }
}

plugin_sdk::export! {
    plugin: Plugin,
    input: Change<PaymentIn>,
    output: (Option<ByCard>, Option<ByTransfer>),
    row: route,
}
