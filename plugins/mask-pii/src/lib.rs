//! Customers without what identifies them: e-mail address, name and telephone number are hashed, shortened or left out,
//! as the parameters say, before anything is stored.
//!
//! Nothing is rejected here: a dead letter holds the original message. What is not in the output does not get out:
//! columns that somebody adds at the source are not passed on.

pub mod key;
pub mod mask;

use plugin_sdk::{Ctx, Micros, Parameters, Pass, Reject, Row, Table, WallClock, pass};

use key::Key;
use mask::{Masked, Mode};

/// What is looked at. Columns that a source lacks are null.
#[derive(Clone, Copy, Debug, Default, Row)]
pub struct CustomerIn<'a> {
    /// Given name.
    pub first_name: Option<&'a str>,
    /// Family name.
    pub last_name: Option<&'a str>,
    /// E-mail address.
    pub email: Option<&'a str>,
    /// Telephone number.
    pub phone: Option<&'a str>,
}

/// A customer as it is now, masked.
#[derive(Table)]
#[table(name = "customers_masked", kind = "current", sort_key = ["id"])]
pub struct Customer<'a> {
    id: Pass<i32>,
    /// Masked as the parameter `name` says.
    first_name: Option<Masked<'a>>,
    /// Masked as the parameter `name` says.
    last_name: Option<Masked<'a>>,
    /// Masked as the parameter `email` says. A pseudonym joins tables that were made under one key.
    email: Option<Masked<'a>>,
    /// Masked as the parameter `phone` says.
    phone: Option<Masked<'a>>,
    created_at: Pass<Option<WallClock<Micros>>>,
}

/// How much is left.
#[derive(Parameters)]
pub struct Masking {
    /// Secret that pseudonyms are made with, 16 characters or more. Another key gives other pseudonyms.
    key: Key,
    /// What becomes of e-mail addresses: keep, hash, partial or redact.
    #[parameter(default = "hash")]
    email: Mode,
    /// What becomes of names: keep, hash, partial or redact.
    #[parameter(default = "redact")]
    name: Mode,
    /// What becomes of telephone numbers: keep, hash, partial or redact.
    #[parameter(default = "partial")]
    phone: Mode,
}

#[expect(clippy::unnecessary_wraps, reason = "the form of a row function")]
fn masked<'a>(customer: CustomerIn<'a>, ctx: &Ctx<Masking>) -> Result<Customer<'a>, Reject> {
    let Masking { key, email, name, phone } = &ctx.parameters;
    Ok(Customer {
        id: pass(),
        first_name: customer.first_name.map(|text| mask::name(text, *name, key)),
        last_name: customer.last_name.map(|text| mask::name(text, *name, key)),
        email: customer.email.map(|text| mask::email(text, *email, key)),
        phone: customer.phone.map(|text| mask::phone(text, *phone, key)),
        created_at: pass(),
    })
}

plugin_sdk::export! {
    plugin: MaskPii,
    input: CustomerIn,
    output: Customer,
    parameters: Masking,
    row: masked,
}
