//! The batches: the same orders as Arrow columns for the engine, as rows for the native run.

use std::sync::Arc;

use arrow_array::{
    Array, ArrayRef, Decimal128Array, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow_schema::{DataType, SchemaRef, TimeUnit};
use bench_orders::Order;
use plugin_sdk::Decimal;

use crate::Failure;

/// One order of a hundred is the testers' and gets dropped.
const DROP: usize = 100;

/// Orders whose text is owned.
pub(crate) struct Orders(Vec<Texts>);

struct Texts {
    id: usize,
    order_number: String,
    email: String,
    status: &'static str,
    note: Option<String>,
    created_at: String,
}

impl Orders {
    pub(crate) fn new(rows: usize) -> Self {
        Self((0..rows).map(texts).collect())
    }

    pub(crate) fn rows(&self) -> impl Iterator<Item = Order<'_>> {
        self.0.iter().map(|texts| Order {
            id: number(texts.id),
            customer_id: number(texts.id * 7919 % 100_003),
            order_number: &texts.order_number,
            email: &texts.email,
            status: texts.status,
            note: texts.note.as_deref(),
            quantity: i32::try_from(1 + texts.id % 9).unwrap_or(1),
            price: Decimal::new(price(texts.id)).unwrap_or_default(),
            created_at: &texts.created_at,
            country: ["DE", "FR", "ID", "US", "BR"][texts.id % 5],
        })
    }

    /// The same as the columns of the plugin's input.
    pub(crate) fn batch(&self, schema: &SchemaRef) -> Result<RecordBatch, Failure> {
        let text = |of: fn(Order<'_>) -> &str| -> ArrayRef {
            Arc::new(self.rows().map(|o| Some(of(o))).collect::<StringArray>())
        };
        let prices = self.rows().map(|order| order.price.unscaled()).collect::<Vec<_>>();
        let columns: Vec<ArrayRef> = vec![
            Arc::new(self.rows().map(|order| order.id).collect::<Int64Array>()),
            Arc::new(self.rows().map(|order| order.customer_id).collect::<Int64Array>()),
            text(|order| order.order_number),
            text(|order| order.email),
            text(|order| order.status),
            Arc::new(self.rows().map(|order| order.note).collect::<StringArray>()),
            Arc::new(self.rows().map(|order| order.quantity).collect::<Int32Array>()),
            Arc::new(Decimal128Array::from(prices).with_precision_and_scale(12, 2)?),
            text(|order| order.created_at),
            text(|order| order.country),
        ];
        Ok(RecordBatch::try_new(schema.clone(), columns)?)
    }
}

fn texts(id: usize) -> Texts {
    let names = ["Ada.Lovelace", "g.hopper", "Edsger", "Barbara.L", "donald.knuth"];
    let statuses = ["PENDING", " confirmed", "Shipped", "DELIVERED", "cancelled "];
    Texts {
        id,
        order_number: format!("ORD-{:08}", id * 31),
        email: format!("{}{}@Example.com", names[id * 13 % 5], id % 100),
        status: if id % DROP == 17 { "TEST" } else { statuses[id * 7 % 5] },
        note: id.is_multiple_of(3).then(|| format!(" leave at door {} ", id % 1000)),
        created_at: format!(
            "2025-{:02}-{:02}T{:02}:{:02}:{:02}.{:06}Z",
            1 + id % 12,
            1 + id * 3 % 28,
            id % 24,
            id * 7 % 60,
            id * 11 % 60,
            id * 7919 % 1_000_000
        ),
    }
}

fn number(id: usize) -> i64 {
    i64::try_from(id).unwrap_or_default()
}

fn price(id: usize) -> i128 {
    i128::try_from(99 + id * 104_729 % 500_000).unwrap_or_default()
}

/// A batch of a schema's columns with values of usual sizes, for the row of 40 columns.
pub(crate) fn any_batch(schema: &SchemaRef, rows: usize) -> Result<RecordBatch, Failure> {
    let columns = schema.fields().iter().map(|field| any_column(field.data_type(), rows)).collect::<Result<_, _>>()?;
    Ok(RecordBatch::try_new(schema.clone(), columns)?)
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the plugin's columns are of these types")]
fn any_column(data_type: &DataType, rows: usize) -> Result<ArrayRef, Failure> {
    let ids = || (0..rows).map(|id| number(id + 1));
    Ok(match data_type {
        DataType::Utf8 => {
            let text =
                |id| Some(if id % DROP == 17 { "test".to_owned() } else { format!("value {}", id * 31 % 100_000) });
            Arc::new((0..rows).map(text).collect::<StringArray>())
        }
        DataType::Int64 => Arc::new(ids().collect::<Int64Array>()),
        DataType::Int32 => Arc::new(ids().map(|id| i32::try_from(id).ok()).collect::<Int32Array>()),
        DataType::Timestamp(TimeUnit::Microsecond, zone) => {
            let times =
                TimestampMicrosecondArray::from_iter_values(ids().map(|id| 1_735_689_600_000_000 + id * 1_234_567));
            Arc::new(times.with_timezone_opt(zone.clone()))
        }
        DataType::Decimal128(precision, scale) => {
            let amounts = (0..rows).map(price).collect::<Vec<_>>();
            Arc::new(Decimal128Array::from(amounts).with_precision_and_scale(*precision, *scale)?)
        }
        other => return Err(format!("no values of {other}").into()),
    })
}

/// Bytes of a column's buffers as they cross: exactly what its rows need.
pub(crate) fn column_bytes(column: &dyn Array) -> usize {
    column.to_data().get_slice_memory_size().unwrap_or_default()
}
