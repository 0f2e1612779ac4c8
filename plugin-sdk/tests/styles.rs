//! Row style, batch style and parameters, as a plugin's author uses them.

use plugin_sdk::testing::Harness;
use plugin_sdk::{
    Batch, Bits, Change, ChangeColumn, Ctx, Decimal, Decimal256, Emit, Json, Millis, Op, Origin, Parameters, Pass,
    Reject, Row, Seconds, Source, Table, Time, Timestamp, Uppercase, Uuid, pass,
};

/// Every type, once not null and once nullable where that is another view.
#[derive(Clone, Copy, Row)]
struct Zoo<'a> {
    flag: bool,
    tiny: i8,
    huge: u64,
    real: f64,
    text: &'a str,
    maybe_text: Option<&'a str>,
    bytes: Option<&'a [u8]>,
    json: Json<'a>,
    uuid: Uuid,
    time: Option<Time<Seconds>>,
    amount: Option<Decimal<38, 3>>,
    wide: Decimal256<76, 10>,
    maybe_flag: Option<bool>,
    #[column(change = "source_timestamp")]
    source_ts: Option<Timestamp<Millis>>,
    #[column(change = "op")]
    op: Op,
}

#[derive(Table)]
#[table(name = "zoo", kind = "append")]
struct Kept<'a> {
    flag: bool,
    tiny: i8,
    huge: u64,
    real: f64,
    text: Uppercase<'a>,
    maybe_text: Option<String>,
    bytes: Option<&'a [u8]>,
    json: Json<'a>,
    uuid: Uuid,
    time: Option<Time<Seconds>>,
    amount: Option<Decimal<38, 3>>,
    wide: Decimal256<76, 10>,
    maybe_flag: Option<bool>,
    source_ts: Option<Timestamp<Millis>>,
    op: &'static str,
}

#[expect(clippy::unnecessary_wraps, reason = "the form of a row function")]
fn keep<'a>(zoo: Zoo<'a>, _: &Ctx) -> Result<Kept<'a>, Reject> {
    let Zoo { flag, tiny, huge, real, text, bytes, json, uuid, time, amount, wide, maybe_flag, source_ts, .. } = zoo;
    let (maybe_text, op) = (zoo.maybe_text.map(str::to_lowercase), zoo.op.as_str());
    let text = Uppercase(text);
    Ok(Kept {
        flag,
        tiny,
        huge,
        real,
        text,
        maybe_text,
        bytes,
        json,
        uuid,
        time,
        amount,
        wide,
        maybe_flag,
        source_ts,
        op,
    })
}

plugin_sdk::export! { plugin: KeepZoo, input: Zoo, output: Kept, row: keep }

#[test]
fn every_type_goes_through() {
    let full = Zoo {
        flag: true,
        tiny: i8::MIN,
        huge: u64::MAX,
        real: -0.5,
        text: "größe",
        maybe_text: Some("ÄB"),
        bytes: Some(&[0, 255]),
        json: Json("{\"a\":1}"),
        uuid: Uuid([0x11; 16]),
        time: Time::parse("23:59:59"),
        amount: Decimal::parse("-1.5"),
        wide: Decimal256::parse("12345678901234567890123456789012345678901.5").expect("43 digits"),
        maybe_flag: Some(false),
        source_ts: Some(Timestamp::new(-1)),
        op: Op::Update,
    };
    let nulls =
        Zoo { maybe_text: None, bytes: None, time: None, amount: None, maybe_flag: None, source_ts: None, ..full };
    let answer = Harness::<KeepZoo>::new().run([nulls, full, nulls]);
    let start = "flag=true tiny=-128 huge=18446744073709551615 real=-0.5 text=GRößE";
    let uuid = "json={\"a\":1} uuid=11111111-1111-1111-1111-111111111111";
    let wide = "wide=12345678901234567890123456789012345678901.5000000000";
    let null = format!(
        "{start} maybe_text=null bytes=null {uuid} time=null amount=null {wide} maybe_flag=null source_ts=null op=u"
    );
    let full = format!(
        "{start} maybe_text=äb bytes=00ff {uuid} time=23:59:59 amount=-1.500 {wide} maybe_flag=false \
         source_ts=1969-12-31T23:59:59.999Z op=u"
    );
    assert_eq!(answer.table("zoo"), [null.clone(), full, null]);
}

#[test]
fn a_batch_longer_than_a_bitmap_byte_keeps_its_nulls() {
    let row = |number: usize| Zoo {
        flag: number.is_multiple_of(2),
        tiny: 0,
        huge: number as u64,
        real: 0.0,
        text: "",
        maybe_text: number.is_multiple_of(3).then_some("x"),
        bytes: None,
        json: Json(""),
        uuid: Uuid::default(),
        time: None,
        amount: None,
        wide: Decimal256::default(),
        maybe_flag: number.is_multiple_of(5).then_some(true),
        source_ts: None,
        op: Op::Read,
    };
    let answer = Harness::<KeepZoo>::new().run((0..1000).map(row));
    assert_eq!(answer.rows("zoo").len(), 1000);
    for (number, kept) in answer.rows("zoo").iter().enumerate() {
        assert_eq!(kept.get("huge"), Some(number.to_string().as_str()));
        assert_eq!(kept.get("flag"), Some(if number % 2 == 0 { "true" } else { "false" }));
        assert_eq!(kept.get("maybe_text"), (number % 3 == 0).then_some("x"));
        assert_eq!(kept.get("maybe_flag"), (number % 5 == 0).then_some("true"));
    }
}

#[derive(Clone, Copy, Row)]
struct Tagged<'a> {
    tags: &'a str,
}

#[derive(Table)]
#[table(name = "tags", kind = "append", sort_key = "tag")]
struct Tag<'a> {
    #[column(clickhouse = "LowCardinality(String)")]
    tag: &'a str,
    #[column(from = "id")]
    article: Pass<i64>,
}

/// How many tags an article may have.
#[derive(Parameters)]
struct Limits {
    /// Most tags that
    /// an article may have.
    #[parameter(default = "3")]
    max_tags: usize,
    /// What stands between tags.
    separator: char,
}

fn explode<'a>(change: Change<Tagged<'a>>, ctx: &Ctx<Limits>) -> Result<Vec<Tag<'a>>, Reject> {
    let tags: Vec<_> = change.row.tags.split(ctx.parameters.separator).filter(|tag| !tag.is_empty()).collect();
    if tags.len() > ctx.parameters.max_tags {
        return Err(Reject::new("too_many_tags", format!("more than {} tags", ctx.parameters.max_tags)));
    }
    Ok(tags.into_iter().map(|tag| Tag { tag, article: pass() }).collect())
}

plugin_sdk::export! {
    plugin: Explode,
    format: Flat,
    input: Change<Tagged>,
    output: Vec<Tag>,
    parameters: Limits,
    row: explode,
}

#[test]
fn one_row_becomes_several_and_passed_columns_follow() {
    let harness = Harness::<Explode>::new().parameter("separator", ",").passed("id", [10_i64, 11, 12, 13]);
    let rows = ["a,b", "", "c", "1,2,3,4"].map(|tags| Change::create(Tagged { tags }));
    let answer = harness.run(rows);
    assert_eq!(answer.table("tags"), ["tag=a article=10", "tag=b article=10", "tag=c article=12"]);
    assert_eq!(answer.rejects(), [(3, "too_many_tags")]);
    assert_eq!(answer.rejected()[0].reason, "more than 3 tags");

    let answer = harness.parameter("max_tags", "4").run(rows);
    assert_eq!(answer.table("tags").len(), 7);
}

#[test]
fn parameters_are_described_and_checked() {
    let harness = Harness::<Explode>::new();
    let parameters = &harness.description().parameters;
    assert_eq!((parameters[0].name, parameters[0].default), ("max_tags", Some("3")));
    assert_eq!(parameters[0].doc, "Most tags that an article may have.");
    let row = [Change::create(Tagged { tags: "" })];
    assert_eq!(harness.try_run(row).expect_err("unset"), "parameter `separator` is not set");
    let failure =
        harness.parameter("separator", ",").parameter("max_tags", "many").try_run(row).expect_err("no number");
    assert_eq!(failure, "parameter `max_tags`: invalid digit found in string");
}

#[derive(Row)]
struct Reading {
    sensor: i32,
    celsius: f64,
}

#[derive(Table)]
#[table(name = "fahrenheit", kind = "append", sort_key = "sensor")]
struct Fahrenheit {
    sensor: Pass<i32>,
    degrees: f64,
}

#[derive(Table)]
#[table(name = "frost", kind = "append", sort_key = "sensor")]
struct Frost {
    sensor: i32,
}

/// Whole columns for one table, row by row for the other.
fn convert(batch: &Batch<'_, Reading>, emit: &mut Emit<(Fahrenheit, Frost)>, _: &Ctx) -> Result<(), String> {
    let (fahrenheit, frost) = &mut emit.tables;
    let celsius = batch.columns.celsius.as_slice();
    let mut measured = Bits::zeros(batch.len());
    (0..batch.len()).filter(|row| celsius[*row].is_finite()).for_each(|row| measured.set(row));
    fahrenheit
        .columns
        .degrees
        .extend(celsius.iter().filter(|degrees| degrees.is_finite()).map(|degrees| degrees * 1.8 + 32.0));
    fahrenheit.set_origin(Origin::selected(measured));
    for row in 0..batch.len() {
        let reading = batch.row(row);
        if reading.celsius < 0.0 {
            frost.push(row, Frost { sensor: reading.sensor });
        }
    }
    for (row, _) in celsius.iter().enumerate().filter(|(_, degrees)| !degrees.is_finite()) {
        emit.reject(row, Reject::new("not_finite", "no temperature"));
    }
    Ok(())
}

plugin_sdk::export! { plugin: Convert, input: Reading, output: (Fahrenheit, Frost), batch: convert }

#[test]
fn batch_style_selects_columns_and_mixes_with_rows() {
    let reading = |(sensor, celsius)| Reading { sensor, celsius };
    let answer = Harness::<Convert>::new().run([(1, 100.0), (2, f64::NAN), (3, -10.0)].map(reading));
    assert_eq!(answer.table("fahrenheit"), ["sensor=1 degrees=212", "sensor=3 degrees=14"]);
    assert_eq!(answer.table("frost"), ["sensor=3"]);
    assert_eq!(answer.rejects(), [(1, "not_finite")]);
    assert!(Harness::<Convert>::new().run(Vec::<Reading>::new()).table("fahrenheit").is_empty());
}

#[expect(clippy::unnecessary_wraps, reason = "the form of a batch function")]
fn forgetful(batch: &Batch<'_, Reading>, emit: &mut Emit<Fahrenheit>, _: &Ctx) -> Result<(), String> {
    emit.tables.set_origin(Origin::all(batch.len()));
    Ok(())
}

plugin_sdk::export! { plugin: Forgetful, input: Reading, output: Fahrenheit, batch: forgetful }

#[test]
fn a_batch_function_whose_columns_do_not_add_up_fails_in_words() {
    let failure =
        Harness::<Forgetful>::new().try_run([Reading { sensor: 1, celsius: 0.0 }]).expect_err("no column written");
    assert_eq!(failure, "output 0: column `degrees` has 0 rows where 1 were emitted");
}

#[derive(Table)]
#[table(name = "other", kind = "current", sort_key = ["sensor"])]
struct Contradicting {
    sensor: Pass<i64>,
}

#[expect(clippy::unnecessary_wraps, reason = "the form of a row function")]
fn contradict(_: Reading, _: &Ctx) -> Result<Contradicting, Reject> {
    Ok(Contradicting { sensor: pass() })
}

plugin_sdk::export! { plugin: Contradict, input: Reading, output: Contradicting, row: contradict }

#[test]
fn types_that_contradict_each_other_are_named() {
    let message = <Contradict as plugin_sdk::Plugin>::description().expect_err("i32 is not i64").to_string();
    assert_eq!(message, "column `sensor` of table `other` passes `sensor` on as Int64, but elsewhere it is Int32");
}

#[test]
fn change_columns_are_columns_like_any_other() {
    let harness = Harness::<KeepZoo>::new();
    let input = &harness.description().input;
    let last: Vec<_> = input.iter().skip(13).map(|input| (input.source, input.column.data_type.to_string())).collect();
    let source = |change| Source::Change(change);
    assert_eq!(
        last,
        [
            (source(ChangeColumn::SourceTimestamp), "Timestamp(Millisecond, UTC)".to_owned()),
            (source(ChangeColumn::Op), "UInt8".to_owned())
        ]
    );
}
