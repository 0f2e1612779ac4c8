//! Customers of a shop, cleaned: the current state of each.

use plugin_sdk::{Change, Ctx, Lowercase, Pass, Reject, Row, Table, pass};

/// What is looked at: fields of the changed row, by name. `Option` where they may be null.
#[derive(Clone, Copy, Debug, Default, Row)]
pub struct CustomerIn<'a> {
    /// As it was typed, perhaps with spaces around it.
    pub name: Option<&'a str>,
    /// Without it there is no customer.
    pub email: &'a str,
}

/// A row of the table, which is created from this: columns, types and comments.
#[derive(Table)]
#[table(name = "{{table}}", kind = "current", sort_key = ["id"])]
pub struct Customer<'a> {
    id: Pass<i64>, // goes from the message to the table as it is, without entering the plugin
    /// As the customer wants to be called.
    name: Option<&'a str>,
    email: Lowercase<'a>,
    note: Pass<Option<&'a str>>,
}

fn clean<'a>(change: Change<CustomerIn<'a>>, _: &Ctx) -> Result<Customer<'a>, Reject> {
    let email = change.row.email.trim();
    // A delete is never rejected: it may carry the key alone, and a row that is not deleted would stay for ever.
    if !change.deleted() && !email.contains('@') {
        return Err(Reject::new("bad_email", "there is no @ in it"));
    }
    let name = change
        .row
        .name
        .map(str::trim)
        .filter(|name| !name.is_empty());
    Ok(Customer {
        id: pass(),
        name,
        email: Lowercase(email),
        note: pass(),
    })
}

plugin_sdk::export! {
    plugin: Plugin,
    input: Change<CustomerIn>,
    output: Customer,
    row: clean,
}
