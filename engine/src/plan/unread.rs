//! The newest messages, read as the plugin asks for them: what a lane would set aside. Messages without schema tell nothing of
//! their types but by this.

use std::collections::BTreeMap;

use debezium_decode::avro::schema_id;

use super::columns::{Finding, Weight};
use crate::batch::{Message, RawBatch};
use crate::decode::Decoder;
use crate::transform::Transform;

/// Reasons that are told, at most.
const REASONS: usize = 5;

/// One finding for each reason, the most frequent first. Avro is left out: its schemas say the types.
pub(super) fn findings(transform: &Transform, newest: Vec<RawBatch>) -> Vec<Finding> {
    let Some(plugin) = transform.plugin() else { return Vec::new() };
    let input = transform.settings().input(plugin.description());
    let (mut rows, mut aside, mut reasons) = (0, 0, BTreeMap::<String, usize>::new());
    for batch in newest {
        let is_json = |message: &Message| message.value().is_none_or(|value| schema_id(value).is_none());
        let messages: Vec<_> = batch.messages.into_iter().filter(is_json).collect();
        let mut decoder =
            Decoder::new(&input, &batch.partition, 0).expect("the same input was planned when the transform was built");
        let decoded = decoder.decode(&messages);
        rows += decoded.rows.num_rows();
        aside += decoded.rejects.len();
        decoded.rejects.into_iter().for_each(|reject| *reasons.entry(reject.reason).or_default() += 1);
    }
    let weight = if rows == 0 { Weight::Stops } else { Weight::Risk };
    let mut reasons: Vec<_> = reasons.into_iter().collect();
    reasons.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let finding = |(reason, count)| {
        let message = format!("{count} of the {} newest messages would be set aside: {reason}", rows + aside);
        Finding { weight, message }
    };
    reasons.into_iter().take(REASONS).map(finding).collect()
}
