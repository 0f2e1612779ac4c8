//! Random records, written as Avro and as JSON by this test, and decoded to the same columns.

use proptest::prelude::*;
use serde_json::json;

use super::*;

/// A record of each kind of field that the converter writes.
const SCHEMA: &str = r#"{"type":"record","name":"Value","namespace":"shop","fields":[
 {"name":"flag","type":["null","boolean"]},
 {"name":"small","type":{"type":"int","connect.type":"int16"}},
 {"name":"large","type":["null","long"]},
 {"name":"real","type":"float"},
 {"name":"double","type":["double","null"]},
 {"name":"text","type":["null","string"]},
 {"name":"raw","type":"bytes"},
 {"name":"price","type":{"type":"bytes","scale":2,"precision":20,"connect.parameters":{"scale":"2"},
   "connect.name":"org.apache.kafka.connect.data.Decimal","logicalType":"decimal"}},
 {"name":"day","type":["null",{"type":"int","connect.name":"io.debezium.time.Date"}]},
 {"name":"at","type":{"type":"long","connect.name":"io.debezium.time.MicroTimestamp"}},
 {"name":"kind","type":{"type":"enum","name":"Kind","symbols":["ONE","TWO"]}},
 {"name":"tags","type":{"type":"array","items":["null","string"]}},
 {"name":"map","type":{"type":"map","values":"int"}},
 {"name":"inner","type":["null",{"type":"record","name":"Inner","fields":[{"name":"x","type":"double"},{"name":"y","type":"bytes"}]}]}
]}"#;

#[derive(Clone, Debug)]
struct Record {
    flag: Option<bool>,
    small: i16,
    large: Option<i64>,
    real: f32,
    double: Option<f64>,
    text: Option<String>,
    raw: Vec<u8>,
    price: Vec<u8>,
    day: Option<i32>,
    at: i64,
    kind: bool,
    tags: Vec<Option<String>>,
    map: BTreeMap<String, i32>,
    inner: Option<(f64, Vec<u8>)>,
}

fn record() -> impl Strategy<Value = Record> {
    let scalars = (any::<Option<bool>>(), any::<i16>(), any::<Option<i64>>(), any::<f32>(), any::<Option<f64>>());
    let bytes = (any::<Option<String>>(), any::<Vec<u8>>(), prop::collection::vec(any::<u8>(), 1..18));
    let times = (any::<Option<i32>>(), any::<i64>(), any::<bool>());
    let nested = (
        prop::collection::vec(any::<Option<String>>(), 0..4),
        prop::collection::btree_map(any::<String>(), any::<i32>(), 0..4),
        any::<Option<(f64, Vec<u8>)>>(),
    );
    (scalars, bytes, times, nested).prop_map(
        |((flag, small, large, real, double), (text, raw, price), (day, at, kind), (tags, map, inner))| Record {
            flag,
            small,
            large,
            real,
            double,
            text,
            raw,
            price,
            day,
            at,
            kind,
            tags,
            map,
            inner,
        },
    )
}

fn long(out: &mut Vec<u8>, value: i64) {
    let mut bits = ((value << 1) ^ (value >> 63)).cast_unsigned();
    while bits >= 0x80 {
        out.push(bits as u8 | 0x80);
        bits >>= 7;
    }
    out.push(bits as u8);
}

fn bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    long(out, bytes.len() as i64);
    out.extend_from_slice(bytes);
}

/// A union of null at `null`, and the value.
fn optional<T>(out: &mut Vec<u8>, null: i64, value: Option<T>, write: impl FnOnce(&mut Vec<u8>, T)) {
    match value {
        None => long(out, null),
        Some(value) => {
            long(out, 1 - null);
            write(out, value);
        }
    }
}

impl Record {
    fn avro(&self) -> Vec<u8> {
        let mut out = Vec::new();
        optional(&mut out, 0, self.flag, |out, flag| out.push(u8::from(flag)));
        long(&mut out, self.small.into());
        optional(&mut out, 0, self.large, long);
        out.extend(self.real.to_le_bytes());
        optional(&mut out, 1, self.double, |out, double| out.extend(double.to_le_bytes()));
        optional(&mut out, 0, self.text.as_ref(), |out, text| bytes(out, text.as_bytes()));
        bytes(&mut out, &self.raw);
        bytes(&mut out, &self.price);
        optional(&mut out, 0, self.day, |out, day| long(out, day.into()));
        long(&mut out, self.at);
        long(&mut out, self.kind.into());
        // Two blocks, the second with its size, as a writer may do.
        let (one, two) = self.tags.split_at(self.tags.len() / 2);
        let tags = |out: &mut Vec<u8>, tags: &[Option<String>]| {
            tags.iter().for_each(|tag| optional(out, 0, tag.as_ref(), |out, tag| bytes(out, tag.as_bytes())));
        };
        if !one.is_empty() {
            long(&mut out, one.len() as i64);
            tags(&mut out, one);
        }
        if !two.is_empty() {
            let mut block = Vec::new();
            tags(&mut block, two);
            long(&mut out, -(two.len() as i64));
            bytes(&mut out, &block);
        }
        out.push(0);
        if !self.map.is_empty() {
            long(&mut out, self.map.len() as i64);
            for (key, value) in &self.map {
                bytes(&mut out, key.as_bytes());
                long(&mut out, (*value).into());
            }
        }
        out.push(0);
        optional(&mut out, 0, self.inner.as_ref(), |out, (x, y)| {
            out.extend(x.to_le_bytes());
            bytes(out, y);
        });
        out
    }

    /// As Connect's JSON converter writes it.
    fn json(&self) -> String {
        use base64::Engine;
        let base64 = |bytes: &[u8]| base64::engine::general_purpose::STANDARD.encode(bytes);
        let double = |value: f64| {
            if value.is_nan() {
                json!("NaN")
            } else if value.is_infinite() {
                json!(if value > 0.0 { "Infinity" } else { "-Infinity" })
            } else {
                json!(value)
            }
        };
        let real = if self.real.is_finite() {
            serde_json::from_str(&serde_json::to_string(&self.real).unwrap()).unwrap()
        } else {
            double(self.real.into())
        };
        let payload = json!({
            "flag": self.flag, "small": self.small, "large": self.large, "real": real,
            "double": self.double.map(double), "text": self.text, "raw": base64(&self.raw), "price": base64(&self.price),
            "day": self.day, "at": self.at, "kind": if self.kind { "TWO" } else { "ONE" },
            "tags": self.tags, "map": self.map,
            "inner": self.inner.as_ref().map(|(x, y)| json!({ "x": double(*x), "y": base64(y) })),
        });
        let schema = json!({ "type": "struct", "fields": [
            { "field": "small", "type": "int16" },
            { "field": "text", "type": "string" },
            { "field": "kind", "type": "string" },
            { "field": "raw", "type": "bytes" },
            { "field": "price", "type": "bytes", "name": "org.apache.kafka.connect.data.Decimal", "parameters": { "scale": "2" } },
            { "field": "day", "type": "int32", "name": "io.debezium.time.Date" },
            { "field": "at", "type": "int64", "name": "io.debezium.time.MicroTimestamp" },
        ] });
        json!({ "schema": schema, "payload": payload }).to_string()
    }
}

proptest! {
    #![proptest_config(crate::tests::random(400))]

    /// Each field as its own type and as another one that chance picks.
    #[test]
    fn random_records_are_the_same_as_in_json(records in prop::collection::vec(record(), 1..4), pick in any::<prop::sample::Index>()) {
        let registry = registry(&[SCHEMA]);
        let avro: Vec<_> = (0..).zip(&records).map(|(at, record)| message(at, None, Some(framed(1, &record.avro())))).collect();
        let json: Vec<_> = (0..).zip(&records).map(|(at, record)| message(at, None, Some(record.json().into_bytes()))).collect();
        let own = [
            ("flag", DataType::Boolean), ("small", DataType::Int16), ("large", DataType::Int64), ("real", DataType::Float32),
            ("double", DataType::Float64), ("text", DataType::Utf8), ("raw", DataType::Binary),
            ("price", DataType::Decimal256(76, 2)), ("day", DataType::Date32),
            ("at", DataType::Timestamp(TimeUnit::Microsecond, None)), ("kind", DataType::Utf8), ("map", DataType::Utf8),
        ];
        let own: Vec<_> = own.into_iter().map(|(name, data_type)| Field::new(name, data_type, true)).collect();
        let types = every_type();
        let other = types[pick.index(types.len())].clone();
        let singles = ["flag", "small", "large", "real", "double", "text", "raw", "price", "day", "at", "kind", "tags", "inner"]
            .map(|name| vec![other.clone().with_name(name)]);
        for columns in [own].into_iter().chain(singles) {
            let input = input(Format::Flat, columns);
            let (of_avro, of_json) = (decoder(&input, &registry).decode(&avro), decoder(&input, &registry).decode(&json));
            prop_assert_eq!(outcomes(&of_avro), outcomes(&of_json), "{:?} {:?} {:?}", input, of_avro.rejects, of_json.rejects);
        }
    }
}
