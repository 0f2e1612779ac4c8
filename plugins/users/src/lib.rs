//! Users from an application's database, flattened by `ExtractNewRecordState`: the current state of each user.

use plugin_sdk::{Change, Ctx, Lowercase, Micros, Pass, Reject, Row, Table, Timestamp, pass};

/// What is looked at.
#[derive(Clone, Copy, Debug, Row)]
pub struct UserIn<'a> {
    /// As typed in.
    pub full_name: &'a str,
    /// As typed in.
    pub email: &'a str,
}

/// A user as it is now.
#[derive(Table)]
#[table(name = "silver_users", kind = "current", sort_key = ["user_id"])]
pub struct User<'a> {
    user_id: Pass<i32>,
    /// Trimmed.
    full_name: &'a str,
    /// Trimmed, in lower case.
    email: Lowercase<'a>,
    created_at: Pass<Timestamp<Micros>>,
    updated_at: Pass<Timestamp<Micros>>,
}

fn clean<'a>(change: Change<UserIn<'a>>, _: &Ctx) -> Result<User<'a>, Reject> {
    let email = change.row.email.trim();
    // A delete is never rejected: it may carry the key alone, and a row that is not deleted would stay for ever.
    if !change.deleted() && !is_email(email) {
        return Err(Reject::new("bad_email", "the email address is not of the form name@domain.tld"));
    }
    Ok(User {
        user_id: pass(),
        full_name: change.row.full_name.trim(),
        email: Lowercase(email),
        created_at: pass(),
        updated_at: pass(),
    })
}

/// Whether a mail server could be found for it: a name, one `@`, a domain of at least two labels. Of what RFC 5321
/// allows beyond that (quoted names, address literals) nothing is seen in practice but typing errors.
fn is_email(text: &str) -> bool {
    // 254: the longest address that fits an SMTP path.
    let plausible = text.len() <= 254
        && !text.bytes().any(|byte| byte.is_ascii_whitespace() || byte.is_ascii_control())
        && (text.is_ascii() || !text.chars().any(|c| c.is_whitespace() || c.is_control()));
    let Some((name, domain)) = text.split_once('@').filter(|_| plausible) else { return false };
    let label = |label: &str| !label.is_empty() && !label.starts_with('-') && !label.ends_with('-');
    !name.is_empty() && !domain.contains('@') && domain.contains('.') && domain.split('.').all(label)
}

plugin_sdk::export! {
    plugin: Users,
    format: Flat,
    input: Change<UserIn>,
    output: User,
    row: clean,
}
