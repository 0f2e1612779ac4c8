//! What a column can be beside a field of the row: lists and maps, the row before, headers, change columns.

use std::collections::BTreeMap;

use plugin_sdk::testing::{Harness, Message, list, map};
use plugin_sdk::{
    Batch, Change, ChangeColumn, Ctx, Date, Decimal, Elements, Emit, Json, List, Map, Millis, Op, Origin, Parameters,
    Pass, Reject, Row, Source, Table, Timestamp, pass,
};

#[derive(Clone, Copy, Debug, PartialEq, Row)]
struct Article<'a> {
    tags: List<'a, &'a str>,
    prices: List<'a, Option<Decimal<10, 2>>>,
    days: Option<List<'a, Date>>,
    attributes: Map<'a, &'a str, Option<&'a str>>,
}

#[derive(Table)]
#[table(name = "articles", kind = "append")]
struct Kept<'a> {
    tags: List<'a, &'a str>,
    upper: Vec<String>,
    words: Elements<std::str::SplitWhitespace<'a>>,
    prices: List<'a, Option<Decimal<10, 2>>>,
    days: Option<Vec<Date>>,
    pair: [i32; 2],
    attributes: Map<'a, &'a str, Option<&'a str>>,
    lengths: BTreeMap<&'a str, u64>,
    untouched: Pass<List<'a, i64>>,
}

#[expect(clippy::unnecessary_wraps, reason = "the form of a row function")]
fn keep<'a>(article: Article<'a>, _: &Ctx) -> Result<Kept<'a>, Reject> {
    let first = article.tags.get(0).unwrap_or("");
    let days = article.days.map(|days| days.as_slice().iter().rev().copied().collect());
    Ok(Kept {
        tags: article.tags,
        upper: article.tags.iter().map(str::to_uppercase).collect(),
        words: Elements(first.split_whitespace()),
        prices: article.prices,
        days,
        pair: [i32::try_from(article.tags.len()).unwrap_or(i32::MAX), -1],
        attributes: article.attributes,
        lengths: article.attributes.iter().filter_map(|(key, value)| Some((key, value?.len() as u64))).collect(),
        untouched: pass(),
    })
}

plugin_sdk::export! { plugin: Articles, input: Article, output: Kept, row: keep }

fn full<'a>() -> Article<'a> {
    Article {
        tags: list(["two words", "", "ü"]),
        prices: list([Decimal::parse("1.5"), None]),
        days: Some(list([Date(0), Date(1)])),
        attributes: map([("color", Some("red")), ("size", None)]),
    }
}

#[test]
fn lists_and_maps_are_read_in_place_and_written_from_what_yields_them() {
    let empty = Article { tags: list([]), prices: list([]), days: None, attributes: map([]) };
    let answer =
        Harness::<Articles>::new().passed("untouched", [vec![1_i64, 2], vec![], vec![3]]).run([full(), empty, full()]);
    answer.assert_table(
        "articles",
        r#"
        tags               | upper              | words        | prices       | days                     | pair
        [two words,,ü]   | [TWO WORDS,,Ü]   | [two,words] | [1.50,null] | [1970-01-02,1970-01-01] | [3,-1]
        []                 | []                 | []           | []           | null                     | [0,-1]
        [two words,,ü]   | [TWO WORDS,,Ü]   | [two,words] | [1.50,null] | [1970-01-02,1970-01-01] | [3,-1]
        "#,
    );
    answer.assert_table(
        "articles",
        "
        attributes               | lengths    | untouched
        {color:red,size:null} | {color:3} | [1,2]
        {}                       | {}         | []
        {color:red,size:null} | {color:3} | [3]
        ",
    );
}

#[test]
fn a_map_finds_keys_and_a_list_knows_its_end() {
    let article = full();
    assert_eq!(article.attributes.get("color"), Some(Some("red")));
    assert_eq!(article.attributes.get("size"), Some(None));
    assert_eq!(article.attributes.get("weight"), None);
    assert_eq!((article.tags.len(), article.tags.get(2), article.tags.get(3)), (3, Some("ü"), None));
    assert_eq!(article.tags.iter().rev().collect::<Vec<_>>(), ["ü", "", "two words"]);
    assert_eq!(format!("{:?}", article.tags), r#"["two words", "", "ü"]"#);
    assert_eq!(article, full());
    assert!(List::<i64>::default().is_empty());
}

/// Lists in batch style: offsets and all elements.
#[derive(Row)]
struct Basket<'a> {
    prices: List<'a, i64>,
}

#[derive(Table)]
#[table(name = "baskets", kind = "append")]
struct Sum {
    sum: i64,
    twice: Vec<i64>,
}

#[expect(clippy::unnecessary_wraps, reason = "the form of a batch function")]
fn add(batch: &Batch<'_, Basket>, emit: &mut Emit<Sum>, _: &Ctx) -> Result<(), String> {
    let prices = batch.columns.prices.elements();
    for range in batch.columns.prices.offsets().windows(2) {
        let prices = &prices[range[0].cast_unsigned() as usize..range[1].cast_unsigned() as usize];
        emit.tables.columns.sum.push(prices.iter().sum());
        emit.tables.columns.twice.push(prices.iter().map(|price| price * 2));
    }
    emit.tables.set_origin(Origin::all(batch.len()));
    Ok(())
}

plugin_sdk::export! { plugin: Baskets, input: Basket, output: Sum, batch: add }

#[test]
fn batch_style_sees_the_elements_of_all_rows() {
    let answer =
        Harness::<Baskets>::new().run([vec![1, 2], vec![], vec![3]].map(|prices| Basket { prices: list(prices) }));
    answer.assert_table("baskets", "sum | twice\n 3 | [2,4]\n 0 | []\n 3 | [6]");
}

#[derive(Clone, Copy, Debug, PartialEq, Row)]
struct User<'a> {
    id: i32,
    plan: &'a str,
    note: Option<&'a str>,
}

/// A period of a plan.
#[derive(Table)]
#[table(
    name = "plans",
    kind = "append",
    sort_key = ["id"],
    index(name = "by_plan", expression = "plan", kind = "set(100)"),
    index(name = "by_trace", expression = "trace", kind = "bloom_filter(0.01)")
)]
struct Plan<'a> {
    /// Whose plan it is:
    /// the user's key.
    id: i32,
    #[column(codec = "ZSTD(3)")]
    plan: Option<&'a str>,
    until: Option<&'a str>,
    #[column(before)]
    note: Pass<Option<&'a str>>,
    #[column(header = "trace-id")]
    trace: Pass<Option<&'a str>>,
    #[column(change = "offset", codec = "Delta, ZSTD(1)")]
    position: Pass<i64>,
    #[column(from = "registered", required)]
    since: Pass<Option<Date>>,
}

fn plans<'a>(change: Change<User<'a>, Option<User<'a>>>, _: &Ctx) -> Result<Option<Plan<'a>>, Reject> {
    let until = change.before.map(|before| before.plan);
    if until == Some(change.row.plan) && !change.deleted() {
        return Ok(None);
    }
    let plan = (!change.deleted()).then_some(change.row.plan);
    Ok(Some(Plan { id: change.row.id, plan, until, note: pass(), trace: pass(), position: pass(), since: pass() }))
}

plugin_sdk::export! { plugin: Plans, input: Change<User, Option<User>>, output: Option<Plan>, row: plans }

#[test]
fn the_row_before_is_there_where_the_message_has_it() {
    let user = |plan| User { id: 7, plan, note: Some("x") };
    let answer = Harness::<Plans>::new()
        .passed("header.trace-id", [None, None, Some("t"), None])
        .passed("change.offset", [10_i64, 11, 12, 13])
        .run([
            Change::create(user("free")).with_before(None),
            Change::update(user("free")).with_before(Some(user("free"))),
            Change::update(user("pro")).with_before(Some(user("free"))),
            Change::delete(user("pro")).with_before(Some(user("pro"))),
        ]);
    answer.assert_table(
        "plans",
        "
        id | plan | until | note | trace | position
        7  | free | null  | null | null  | 10
        7  | pro  | free  | x    | t     | 12
        7  | null | pro   | x    | null  | 13
        ",
    );
    assert!(answer.rejects().is_empty());
}

#[test]
fn a_before_with_a_null_that_cannot_be_is_no_before() {
    // What a delete with the key alone leaves: seen from the batch's columns.
    #[derive(Table)]
    #[table(name = "seen", kind = "append")]
    struct Seen {
        before: bool,
        note: bool,
    }
    #[expect(clippy::unnecessary_wraps, reason = "the form of a row function")]
    fn look(change: Change<(), Option<User<'_>>>, _: &Ctx) -> Result<Seen, Reject> {
        Ok(Seen { before: change.before.is_some(), note: change.before.is_some_and(|before| before.note.is_some()) })
    }
    plugin_sdk::export! { plugin: Look, input: Change<(), Option<User>>, output: Seen, row: look }

    let user = |note| User { id: 1, plan: "", note };
    let rows = (0..20).map(|number| {
        let before = [None, Some(user(None)), Some(user(Some("x")))];
        Change::update(()).with_before(before[number % 3])
    });
    let answer = Harness::<Look>::new().run(rows);
    for (number, row) in answer.rows("seen").iter().enumerate() {
        assert_eq!(row.get("before"), Some(if number % 3 == 0 { "false" } else { "true" }), "{number}");
        assert_eq!(row.get("note"), Some(if number % 3 == 2 { "true" } else { "false" }), "{number}");
    }
}

#[test]
fn a_row_whose_columns_may_all_be_null_is_there_where_one_is_not() {
    #[derive(Clone, Copy, Row)]
    struct Loose<'a> {
        a: Option<i32>,
        tags: Option<List<'a, i32>>,
    }
    #[derive(Table)]
    #[table(name = "seen", kind = "append")]
    struct Seen {
        before: bool,
    }
    #[expect(clippy::unnecessary_wraps, reason = "the form of a row function")]
    fn look(change: Change<(), Option<Loose<'_>>>, _: &Ctx) -> Result<Seen, Reject> {
        Ok(Seen { before: change.before.is_some() })
    }
    plugin_sdk::export! { plugin: Look, input: Change<(), Option<Loose>>, output: Seen, row: look }
    let change = |a, tags| Change::update(()).with_before(Some(Loose { a, tags }));
    let answer = Harness::<Look>::new().run([
        Change::update(()).with_before(None),
        change(None, None),
        change(Some(1), None),
        change(None, Some(list([1]))),
    ]);
    answer.assert_table("seen", "before\n false\n false\n true\n true");
}

#[test]
fn columns_are_described_with_their_sources() {
    let harness = Harness::<Plans>::new();
    let description = harness.description();
    let input: Vec<_> =
        description.input.iter().map(|it| (it.source, it.column.nullable, it.required, it.crosses)).collect();
    assert_eq!(
        input,
        [
            (Source::Change(ChangeColumn::Op), false, false, true),
            (Source::Row("id"), false, false, true),
            (Source::Row("plan"), false, false, true),
            (Source::Row("note"), true, false, true),
            (Source::Before("id"), true, false, true),
            (Source::Before("plan"), true, false, true),
            (Source::Before("note"), true, false, true),
            (Source::Header("trace-id"), true, false, false),
            (Source::Change(ChangeColumn::Offset), false, false, false),
            (Source::Row("registered"), true, true, false),
        ]
    );
    let plans = &description.outputs[0];
    let names: Vec<_> = plans.columns.iter().map(|it| (&*it.column.name, it.doc, it.codec)).collect();
    assert_eq!(names[0], ("id", Some("Whose plan it is: the user's key."), None));
    assert_eq!(names[1], ("plan", None, Some("ZSTD(3)")));
    assert_eq!(names[5], ("position", None, Some("Delta, ZSTD(1)")));
    let indexes: Vec<_> = plans.indexes.iter().map(|it| (it.name, it.expression, it.kind)).collect();
    assert_eq!(indexes, [("by_plan", "plan", "set(100)"), ("by_trace", "trace", "bloom_filter(0.01)")]);
}

/// Every change column, and fields under other names.
#[derive(Row)]
struct Everything<'a> {
    #[column(name = "Order ID", required)]
    order: i64,
    #[column(change = "op")]
    op: Op,
    #[column(change = "deleted")]
    deleted: bool,
    #[column(change = "version")]
    version: u64,
    #[column(change = "source_timestamp")]
    at: Option<Timestamp<Millis>>,
    #[column(change = "topic")]
    topic: &'a str,
    #[column(change = "partition")]
    partition: i32,
    #[column(change = "offset")]
    offset: i64,
    #[column(change = "key")]
    key: Option<&'a [u8]>,
    #[column(header = "trace")]
    trace: Option<&'a [u8]>,
    #[column(name = "status", before)]
    old_status: Option<&'a str>,
}

#[test]
fn a_row_may_ask_for_everything() {
    let mut columns = Vec::new();
    Everything::describe(&mut columns);
    let names: Vec<_> = columns.iter().map(|it| &*it.column.name).collect();
    assert_eq!(names[..2], ["Order ID", "change.op"]);
    assert_eq!(names[9..], ["header.trace", "before.status"]);
    assert!(columns[0].required && !columns[10].required);
}

/// A parameter of a type of its own.
#[derive(Clone, Copy)]
enum Mode {
    Keep,
    Drop,
}

impl std::str::FromStr for Mode {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "keep" => Ok(Self::Keep),
            "drop" => Ok(Self::Drop),
            _ => Err(format!("`{text}` is not one of keep, drop")),
        }
    }
}

#[derive(Parameters)]
struct Settings {
    /// What becomes of the first word.
    #[parameter(default = "keep")]
    first: Mode,
    /// How often a word may repeat.
    #[parameter(default = 2)]
    times: u8,
    /// Share of something.
    #[parameter(default = -0.5)]
    share: f64,
    /// An amount.
    #[parameter(default = "1.50")]
    amount: Decimal<10, 2>,
    /// Whether to shout.
    #[parameter(default = false)]
    loud: bool,
    /// Set in front of each word.
    #[parameter(default = "")]
    prefix: String,
}

#[derive(Clone, Copy, Row)]
struct Line<'a> {
    text: &'a str,
}

#[derive(Table)]
#[table(name = "words", kind = "append")]
struct Word<'a> {
    word: &'a str,
    prefix: &'a str,
}

fn words<'a>(line: Line<'a>, ctx: &'a Ctx<Settings>) -> Result<impl Iterator<Item = Word<'a>>, Reject> {
    let Settings { first, times, share, amount, loud, prefix } = &ctx.parameters;
    if *share > 0.0 || *loud || amount.is_negative() {
        return Err(Reject::new("unasked", "parameters of another test"));
    }
    let skip = usize::from(matches!(first, Mode::Drop));
    let words = line.text.split(' ').skip(skip);
    Ok(words.flat_map(|word| std::iter::repeat_n(word, usize::from(*times))).map(|word| Word { word, prefix }))
}

plugin_sdk::export! { plugin: Words, input: Line, output: Word, parameters: Settings, rows: words }

#[test]
fn an_iterator_of_rows_borrows_from_the_row_and_the_parameters() {
    let lines = ["a b", "c"].map(|text| Line { text });
    let harness = Harness::<Words>::new().parameter("prefix", "-");
    let answer = harness.run(lines);
    assert_eq!(
        answer.table("words"),
        ["a", "a", "b", "b", "c", "c"].map(|word| format!("word={word} prefix=-")).as_slice()
    );
    assert_eq!(answer.rows("words").iter().map(|row| row.from).collect::<Vec<_>>(), [0, 0, 0, 0, 1, 1].map(Some));
    let answer = harness.parameter("first", "drop").parameter("times", "1").run(lines);
    assert_eq!(answer.table("words"), ["word=b prefix=-"]);
    assert_eq!(
        Harness::<Words>::new().parameter("loud", "true").run(lines).rejects(),
        [(0, "unasked"), (1, "unasked")]
    );
}

#[test]
fn parameters_have_the_type_that_the_engine_checks() {
    let harness = Harness::<Words>::new();
    let described: Vec<_> =
        harness.description().parameters.iter().map(|it| (it.name, format!("{:?}", it.parameter_type))).collect();
    let expected = [
        ("first", "Text"),
        ("times", "Integer"),
        ("share", "Number"),
        ("amount", "Number"),
        ("loud", "Boolean"),
        ("prefix", "Text"),
    ];
    assert_eq!(described, expected.map(|(name, kind)| (name, kind.to_owned())));
    let failure = harness.parameter("first", "maybe").try_run([Line { text: "" }]).expect_err("no such mode");
    assert_eq!(failure, "parameter `first`: `maybe` is not one of keep, drop");
}

/// The key, and all the rest: read, passed on, and of the row before as well.
#[derive(Clone, Copy, Debug, Row)]
struct Keyed<'a> {
    id: i64,
    #[column(rest)]
    others: Json<'a>,
}

#[derive(Table)]
#[table(name = "kept", kind = "append")]
struct Others<'a> {
    id: i64,
    now: &'a str,
    before: Option<&'a str>,
    #[column(rest)]
    passed: Pass<Json<'a>>,
}

#[expect(clippy::unnecessary_wraps, reason = "the form of a row function")]
fn others<'a>(change: Change<Keyed<'a>, Option<Keyed<'a>>>, _: &Ctx) -> Result<Others<'a>, Reject> {
    let before = change.before.map(|before| before.others.0);
    Ok(Others { id: change.row.id, now: change.row.others.0, before, passed: pass() })
}

plugin_sdk::export! { plugin: Rest, input: Change<Keyed, Option<Keyed>>, output: Others, row: others }

#[test]
fn the_rest_of_a_row_is_a_column_like_others() {
    let harness = Harness::<Rest>::new();
    let input: Vec<_> =
        harness.description().input.iter().map(|it| (it.source, &*it.column.name, it.column.nullable)).collect();
    assert_eq!(
        input[1..],
        [
            (Source::Row("id"), "id", false),
            (Source::REST, "*", false),
            (Source::Before("id"), "before.id", true),
            (Source::Before(""), "before.*", true),
        ]
    );
    let update = r#"{"before":{"id":1,"a":0.10},"after":{"id":1,"a":0.20,"b":"new"},"op":"u"}"#;
    let create = r#"{"before":null,"after":{"id":2},"op":"c"}"#;
    let answer = harness.run_messages([Message::new(update), Message::new(create)]);
    let cells = |name| answer.rows("kept").iter().map(|row| row.get(name)).collect::<Vec<_>>();
    assert_eq!(cells("now"), [Some(r#"{"a":0.20,"b":"new"}"#), Some("{}")]);
    assert_eq!(cells("passed"), cells("now"));
    assert_eq!(cells("before"), [Some(r#"{"a":0.10}"#), None]);
}
