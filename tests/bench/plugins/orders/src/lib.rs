//! The border's benchmark: a typical row function, in the sandbox and natively.

#[expect(missing_docs, unreachable_pub, reason = "columns are named by their source; another crate shares the file")]
mod clean;

pub use clean::{CleanOrder, Order};

plugin_sdk::export! {
    plugin: Orders,
    input: Order,
    output: Option<CleanOrder>,
    row: clean::clean,
}
