//! `inventory.orders`: the source table as it changes, and each change as Debezium's full envelope without schema.
//!
//! The messages are written as a PostgreSQL connector writes them for a table with `REPLICA IDENTITY FULL`: a delete
//! is followed by its tombstone, and the generated column `total_amount` is in the snapshot but not in the stream.
//!
//! A bad change is written to the topic and *not* applied to the table here: it must end as a dead letter and leave
//! the row as it was.

use std::fmt;

use base64::display::Base64Display;
use base64::prelude::BASE64_STANDARD;

use super::{Change, Mix};
use crate::random::Random;

/// Every status that an order can have, in the order of its life.
pub(super) const STATUSES: [&str; 5] = ["PENDING", "CONFIRMED", "SHIPPED", "DELIVERED", "CANCELLED"];
/// How applications wrote the same words before the source checked them: what cleaning is there for.
const UNTIDY: [&str; 5] = ["pending", " CONFIRMED", "Shipped ", "delivered", " cancelled "];
const MICROSECONDS_PER_DAY: i64 = 86_400_000_000;
/// Customers and products are few, so that there are top customers to find.
const CUSTOMERS: u32 = 5_000;
const PRODUCTS: u32 = 400;

/// What is wrong with a bad change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Bad {
    /// The text ends in the middle.
    Malformed,
    /// A field that every order has is missing.
    MissingField,
    /// An order of nothing.
    ZeroQuantity,
    /// A word that is no status.
    UnknownStatus,
}

impl Bad {
    /// All kinds.
    pub const ALL: [Self; 4] = [Self::Malformed, Self::MissingField, Self::ZeroQuantity, Self::UnknownStatus];
}

/// One row of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// Primary key.
    pub id: i32,
    /// Days since 1970-01-01.
    pub order_date: i32,
    /// Microseconds since 1970-01-01; `created_at` is the same.
    pub order_time: i64,
    /// Microseconds since 1970-01-01.
    pub updated_at: i64,
    /// The customer's id.
    pub purchaser: i32,
    /// At least 1.
    pub quantity: i32,
    /// The product's id.
    pub product_id: i32,
    /// In cents.
    pub unit_price: i64,
    /// Index of the status.
    status: usize,
    /// Written as the application wrote it, not as the clean word.
    untidy: bool,
}

impl Order {
    /// The status, clean.
    #[must_use]
    pub fn status(&self) -> &'static str {
        STATUSES[self.status]
    }

    /// Quantity times price, in cents.
    #[must_use]
    pub fn total_amount(&self) -> i64 {
        i64::from(self.quantity) * self.unit_price
    }

    fn written_status(&self) -> &'static str {
        if self.untidy { UNTIDY[self.status] } else { STATUSES[self.status] }
    }
}

/// The table, and the source of its changes.
#[derive(Debug)]
pub struct Orders {
    random: Random,
    mix: Mix,
    snapshot: u32,
    rows: Vec<Order>,
    next_id: i32,
    lsn: u64,
    good: u64,
    deleted: u64,
    bad: [u64; Bad::ALL.len()],
}

impl Orders {
    /// An empty table. Its first `snapshot` changes are what a connector's first snapshot reads.
    #[must_use]
    pub fn new(seed: u64, snapshot: u32, mix: Mix) -> Self {
        let random = Random::new(seed);
        let bad = [0; Bad::ALL.len()];
        Self { random, mix, snapshot, rows: Vec::new(), next_id: 1, lsn: 36_062_424, good: 0, deleted: 0, bad }
    }

    /// The rows as they are now, in no order.
    #[must_use]
    pub fn rows(&self) -> &[Order] {
        &self.rows
    }

    /// Changes so far that are no bad ones.
    #[must_use]
    pub fn good(&self) -> u64 {
        self.good
    }

    /// Rows that were deleted so far.
    #[must_use]
    pub fn deleted(&self) -> u64 {
        self.deleted
    }

    /// Bad changes of this kind so far.
    #[must_use]
    pub fn bad(&self, kind: Bad) -> u64 {
        self.bad[kind as usize]
    }

    /// Changes the table once and gives the messages that tell of it. `now`: microseconds since 1970-01-01.
    pub fn change(&mut self, now: i64, out: &mut Vec<Change>) {
        self.lsn += 56 + u64::from(self.random.below(400));
        let roll = self.random.below(1_000);
        if self.snapshot == 0 && roll < self.mix.bad {
            return self.spoil(now, out);
        }
        self.good += 1;
        if self.snapshot > 0 {
            self.read(now, out);
        } else if roll < self.mix.bad + self.mix.deletes && !self.rows.is_empty() {
            self.delete(now, out);
        } else if roll < self.mix.bad + self.mix.deletes + self.mix.updates && !self.rows.is_empty() {
            self.update(now, out);
        } else {
            let order = self.new_order(now);
            out.push(self.message('c', None, Some(&order), now, None));
            self.rows.push(order);
        }
    }

    fn read(&mut self, now: i64, out: &mut Vec<Change>) {
        // Orders that were there before the demo began are up to 30 days old.
        let age = i64::from(self.random.below(30)) * MICROSECONDS_PER_DAY + i64::from(self.random.below(u32::MAX));
        let order = self.new_order(now - age);
        out.push(self.message('r', None, Some(&order), now, None));
        self.rows.push(order);
        self.snapshot -= 1;
    }

    fn update(&mut self, now: i64, out: &mut Vec<Change>) {
        let index = self.random.index(self.rows.len());
        let before = self.rows[index].clone();
        let mut after = Order { updated_at: now, ..before };
        if self.random.below(4) == 0 {
            after.quantity = self.quantity();
        } else {
            after.status = (before.status + 1) % STATUSES.len();
        }
        out.push(self.message('u', Some(&before), Some(&after), now, None));
        self.rows[index] = after;
    }

    fn delete(&mut self, now: i64, out: &mut Vec<Change>) {
        let index = self.random.index(self.rows.len());
        let order = self.rows.swap_remove(index);
        let delete = self.message('d', Some(&order), None, now, None);
        let tombstone = Change { value: None, ..delete.clone() };
        out.extend([delete, tombstone]);
        self.deleted += 1;
    }

    /// Half of the bad changes are of rows that exist, which then have to keep their last good state.
    fn spoil(&mut self, now: i64, out: &mut Vec<Change>) {
        let kind = self.random.pick(&Bad::ALL);
        let existing = self.random.below(2) == 0 && !self.rows.is_empty();
        let message = if existing {
            let before = self.rows[self.random.index(self.rows.len())].clone();
            self.message('u', Some(&before), Some(&Order { updated_at: now, ..before.clone() }), now, Some(kind))
        } else {
            let order = self.new_order(now);
            self.message('c', None, Some(&order), now, Some(kind))
        };
        self.bad[kind as usize] += 1;
        out.push(message);
    }

    fn new_order(&mut self, time: i64) -> Order {
        let id = self.next_id;
        self.next_id += 1;
        let product_id = 1 + self.random.below(PRODUCTS).cast_signed();
        // The smaller of two numbers: the lower a customer's id, the more it buys.
        let purchaser = 1 + self.random.below(CUSTOMERS).min(self.random.below(CUSTOMERS)).cast_signed();
        Order {
            id,
            order_date: i32::try_from(time.div_euclid(MICROSECONDS_PER_DAY)).expect("days until the year 5,000,000"),
            order_time: time,
            updated_at: time,
            purchaser,
            quantity: self.quantity(),
            product_id,
            unit_price: 199 + i64::from(product_id) * 137 % 49_800,
            status: 0,
            untidy: self.random.below(20) == 0,
        }
    }

    fn quantity(&mut self) -> i32 {
        1 + self.random.below(9).cast_signed()
    }

    fn message(&self, op: char, before: Option<&Order>, after: Option<&Order>, now: i64, bad: Option<Bad>) -> Change {
        let id = after.or(before).map_or(0, |order| order.id);
        let with_total = op == 'r' || self.mix.total_in_stream;
        let envelope = Envelope { op, before, after, now, lsn: self.lsn, with_total, bad, snapshot: self.snapshot };
        let mut value = envelope.to_string().into_bytes();
        if bad == Some(Bad::Malformed) {
            value.truncate(value.len() * 3 / 5);
        }
        Change { id, key: format!("{{\"id\":{id}}}").into_bytes(), value: Some(value) }
    }
}

struct Envelope<'a> {
    op: char,
    before: Option<&'a Order>,
    after: Option<&'a Order>,
    now: i64,
    lsn: u64,
    with_total: bool,
    bad: Option<Bad>,
    /// Rows that the snapshot still has to read, this one included.
    snapshot: u32,
}

impl Envelope<'_> {
    fn row(&self, f: &mut fmt::Formatter<'_>, order: Option<&Order>, bad: Option<Bad>) -> fmt::Result {
        let Some(o) = order else { return f.write_str("null") };
        let (id, date, time) = (o.id, o.order_date, o.order_time);
        write!(f, r#"{{"id":{id},"order_number":"ORD-{}","order_date":{date},"order_time":{time}"#, 1000 + id)?;
        if bad != Some(Bad::MissingField) {
            write!(f, r#","purchaser":{}"#, o.purchaser)?;
        }
        let quantity = if bad == Some(Bad::ZeroQuantity) { 0 } else { o.quantity };
        let price = Decimal(o.unit_price);
        write!(f, r#","quantity":{quantity},"product_id":{},"unit_price":"{price}""#, o.product_id)?;
        if self.with_total {
            write!(f, r#","total_amount":"{}""#, Decimal(o.total_amount()))?;
        }
        let status = if bad == Some(Bad::UnknownStatus) { "LOST" } else { o.written_status() };
        write!(f, r#","status":"{status}","created_at":{time},"updated_at":{}}}"#, o.updated_at)
    }

    fn source(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (us, lsn) = (self.now, self.lsn);
        let ms = us / 1_000;
        let snapshot = match (self.op, self.snapshot) {
            ('r', 1) => "last_in_data_collection",
            ('r', _) => "true",
            _ => "false",
        };
        write!(
            f,
            r#"{{"version":"3.7.0.Final","connector":"postgresql","name":"demo","ts_ms":{ms},"snapshot":"{snapshot}","#
        )?;
        write!(f, r#""db":"inventory","sequence":"[\"{lsn}\",\"{lsn}\"]","ts_us":{us},"ts_ns":{us}000,"#)?;
        write!(f, r#""schema":"inventory","table":"orders","txId":{},"lsn":{lsn},"#, 700 + lsn / 512)?;
        f.write_str(r#""xmin":null,"origin":null,"origin_lsn":null}"#)
    }
}

impl fmt::Display for Envelope<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(r#"{"before":"#)?;
        self.row(f, self.before, None)?;
        f.write_str(r#","after":"#)?;
        self.row(f, self.after, self.bad)?;
        f.write_str(r#","source":"#)?;
        self.source(f)?;
        let (us, ms) = (self.now, self.now / 1_000);
        write!(f, r#","transaction":null,"op":"{}","ts_ms":{ms},"ts_us":{us},"ts_ns":{us}000}}"#, self.op)
    }
}

/// A decimal of any scale as Kafka Connect writes it: base64 of the shortest big-endian two's complement.
pub(super) struct Decimal(pub(super) i64);

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.0.to_be_bytes();
        // A leading byte that only repeats the sign bit of the next one says nothing.
        let says_nothing = |pair: &[u8]| matches!((pair[0], pair[1] >> 7), (0, 0) | (0xff, 1));
        let start = bytes.windows(2).take_while(|pair| says_nothing(pair)).count();
        Base64Display::new(&bytes[start..], &BASE64_STANDARD).fmt(f)
    }
}
