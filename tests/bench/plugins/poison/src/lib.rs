//! The row function of the border's benchmark, which panics on orders whose note says so.

#[expect(unreachable_pub, reason = "another crate has the file")]
#[path = "../../orders/src/clean.rs"]
mod clean;

use clean::{CleanOrder, Order};
use plugin_sdk::{Ctx, Reject};

fn clean_or_panic<'a>(order: Order<'a>, ctx: &Ctx) -> Result<Option<CleanOrder<'a>>, Reject> {
    assert_ne!(order.note, Some("poison"), "order {} can't be cleaned", order.id);
    clean::clean(order, ctx)
}

plugin_sdk::export! {
    plugin: Poison,
    input: Order,
    output: Option<CleanOrder>,
    row: clean_or_panic,
}
