//! Customers as they are now.

use plugin_sdk::{Change, Ctx, Lowercase, Micros, Pass, Reject, Row, Table, WallClock, pass};

/// What is looked at.
#[derive(Clone, Copy, Debug, Default, Row)]
pub struct CustomerIn<'a> {
    /// As typed in.
    pub first_name: &'a str,
    /// As typed in.
    pub last_name: &'a str,
    /// As typed in.
    pub email: &'a str,
}

/// A customer as it is now.
#[derive(Table)]
#[table(name = "customers", kind = "current", sort_key = ["id"])]
pub struct Customer<'a> {
    id: Pass<i32>,
    /// Trimmed.
    #[column(codec = "ZSTD(1)")]
    first_name: &'a str,
    /// Trimmed.
    #[column(codec = "ZSTD(1)")]
    last_name: &'a str,
    /// Trimmed, in lower case.
    #[column(codec = "ZSTD(1)")]
    email: Lowercase<'a>,
    #[column(codec = "DoubleDelta, ZSTD(1)")]
    created_at: Pass<Option<WallClock<Micros>>>,
}

fn clean<'a>(change: Change<CustomerIn<'a>>, _: &Ctx) -> Result<Customer<'a>, Reject> {
    let CustomerIn { first_name, last_name, email } = change.row;
    let email = email.trim();
    // A delete is never rejected: the customer that it ends would stay for ever.
    if !change.deleted() && !email.contains('@') {
        return Err(Reject::new("bad_email", "there is no @ in it"));
    }
    Ok(Customer {
        id: pass(),
        first_name: first_name.trim(),
        last_name: last_name.trim(),
        email: Lowercase(email),
        created_at: pass(),
    })
}

plugin_sdk::export! {
    plugin: Customers,
    input: Change<CustomerIn>,
    output: Customer,
    row: clean,
}
