//! A table as its source has it, whatever columns it has by now: the key, and all the rest as one JSON object. Nothing
//! enters the plugin, so nothing has to be declared, built or altered when a column is added.

use plugin_sdk::{Ctx, Json, Pass, Reject, Table, pass};

/// A row as it is now.
#[derive(Table)]
#[table(name = "silver_mirror", kind = "current", sort_key = ["id"])]
pub struct Mirrored<'a> {
    id: Pass<i64>,
    /// All other columns, by their names at the source.
    #[column(rest, codec = "ZSTD(3)")]
    fields: Pass<Json<'a>>,
}

#[expect(clippy::unnecessary_wraps, reason = "the form of a row function")]
fn mirror<'a>((): (), _: &'a Ctx) -> Result<Mirrored<'a>, Reject> {
    Ok(Mirrored { id: pass(), fields: pass() })
}

plugin_sdk::export! {
    plugin: Mirror,
    input: (),
    output: Mirrored,
    row: mirror,
}
