//! The guest's half of the comparison: the benchmark's own row function behind arrow-udf's interface, which reads and
//! writes Arrow IPC, and behind one call per JSON record. Exports of one module, so that both are built alike.

#[path = "../../../plugins/orders/src/clean.rs"]
#[allow(missing_docs, unreachable_pub)]
mod clean;
mod json;

use std::sync::Arc;

use arrow_array::builder::{Decimal128Builder, PrimitiveBuilder, StringBuilder};
use arrow_array::cast::AsArray;
use arrow_array::types::{Decimal128Type, Int32Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, RecordBatch};
use arrow_schema::{ArrowError, DataType, Field, Schema, TimeUnit};
use arrow_udf::ffi::{CSlice, scalar_wrapper};
use plugin_sdk::{Ctx, Decimal, Timestamp};

use clean::{Order, clean};

/// `clean()->boolean` in arrow-udf's base64: the runtime finds functions by such names and does not look at the types
/// again.
///
/// # Safety
/// As [`scalar_wrapper`] asks.
#[unsafe(export_name = "arrowudf_Y2xlYW4oKS0$Ym9vbGVhbg")]
pub unsafe extern "C" fn clean_batch(input: *const u8, len: usize, out: *mut CSlice) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { scalar_wrapper(|batch| Ok(cleaned(batch)?), input, len, out) }
}

/// `echo()->boolean`.
///
/// # Safety
/// As [`scalar_wrapper`] asks.
#[unsafe(export_name = "arrowudf_ZWNobygpLT5ib29sZWFu")]
pub unsafe extern "C" fn echo_batch(input: *const u8, len: usize, out: *mut CSlice) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { scalar_wrapper(|batch| Ok(batch.clone()), input, len, out) }
}

pub(crate) const CONTEXT: Ctx = Ctx { parameters: (), now: Timestamp::new(0), watermark: None };

fn cleaned(batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let number = |column: usize| batch.column(column).as_primitive::<Int64Type>();
    let text = |column: usize| batch.column(column).as_string::<i32>();
    let (id, customer_id, order_number, email) = (number(0), number(1), text(2), text(3));
    let (status, note, quantity) = (text(4), text(5), batch.column(6).as_primitive::<Int32Type>());
    let (price, created_at, country) = (batch.column(7).as_primitive::<Decimal128Type>(), text(8), text(9));

    let rows = batch.num_rows();
    let mut out = Columns::new(rows);
    for row in 0..rows {
        let order = Order {
            id: id.value(row),
            customer_id: customer_id.value(row),
            order_number: order_number.value(row),
            email: email.value(row),
            status: status.value(row),
            note: note.is_valid(row).then(|| note.value(row)),
            quantity: quantity.value(row),
            price: Decimal::new(price.value(row)).ok_or(ArrowError::ComputeError("price".into()))?,
            created_at: created_at.value(row),
            country: country.value(row),
        };
        let Ok(Some(order)) = clean(order, &CONTEXT) else { continue };
        out.id.append_value(order.id);
        out.customer_id.append_value(order.customer_id);
        out.order_number.append_value(order.order_number);
        out.lowercase(order.email.0);
        out.status.append_value(order.status);
        out.note.append_option(order.note);
        out.quantity.append_value(order.quantity);
        out.price.append_value(order.price.unscaled());
        out.created_at.append_value(order.created_at.units());
        out.country.append_value(order.country);
        out.total.append_value(order.total.unscaled());
    }
    out.finish()
}

struct Columns {
    id: PrimitiveBuilder<Int64Type>,
    customer_id: PrimitiveBuilder<Int64Type>,
    order_number: StringBuilder,
    email: StringBuilder,
    lower: String,
    status: StringBuilder,
    note: StringBuilder,
    quantity: PrimitiveBuilder<Int32Type>,
    price: Decimal128Builder,
    created_at: PrimitiveBuilder<TimestampMicrosecondType>,
    country: StringBuilder,
    total: Decimal128Builder,
}

impl Columns {
    fn new(rows: usize) -> Self {
        let text = || StringBuilder::with_capacity(rows, rows * 16);
        let decimal = |precision| Decimal128Builder::with_capacity(rows).with_data_type(DataType::Decimal128(precision, 2));
        Self {
            id: PrimitiveBuilder::with_capacity(rows),
            customer_id: PrimitiveBuilder::with_capacity(rows),
            order_number: text(),
            email: text(),
            lower: String::new(),
            status: text(),
            note: text(),
            quantity: PrimitiveBuilder::with_capacity(rows),
            price: decimal(12),
            created_at: PrimitiveBuilder::with_capacity(rows),
            country: text(),
            total: decimal(14),
        }
    }

    /// One buffer for all rows: a `String` for each would cost more.
    fn lowercase(&mut self, text: &str) {
        self.lower.clear();
        self.lower.push_str(text);
        self.lower.make_ascii_lowercase();
        self.email.append_value(&self.lower);
    }

    fn finish(mut self) -> Result<RecordBatch, ArrowError> {
        let field = |name: &str, data_type: DataType, nullable| Field::new(name, data_type, nullable);
        let schema = Schema::new(vec![
            field("id", DataType::Int64, false),
            field("customer_id", DataType::Int64, false),
            field("order_number", DataType::Utf8, false),
            field("email", DataType::Utf8, false),
            field("status", DataType::Utf8, false),
            field("note", DataType::Utf8, true),
            field("quantity", DataType::Int32, false),
            field("price", DataType::Decimal128(12, 2), false),
            field("created_at", DataType::Timestamp(TimeUnit::Microsecond, None), false),
            field("country", DataType::Utf8, false),
            field("total", DataType::Decimal128(14, 2), false),
        ]);
        RecordBatch::try_new(
            Arc::new(schema),
            vec![
                Arc::new(self.id.finish()),
                Arc::new(self.customer_id.finish()),
                Arc::new(self.order_number.finish()),
                Arc::new(self.email.finish()),
                Arc::new(self.status.finish()),
                Arc::new(self.note.finish()),
                Arc::new(self.quantity.finish()),
                Arc::new(self.price.finish()),
                Arc::new(self.created_at.finish()),
                Arc::new(self.country.finish()),
                Arc::new(self.total.finish()),
            ],
        )
    }
}
