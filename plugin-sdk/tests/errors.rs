//! What does not compile says what is wrong: each case with the words that its author has to see.
//!
//! Cases are compiled by rustc itself against the SDK as this test was linked with it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs, io::Write};

/// Name, source, and what the first error says.
const CASES: &[(&str, &str, &[&str])] = &[
    (
        "a field that is no column",
        "#[derive(Row)] struct In { when: std::time::SystemTime }",
        &["`SystemTime` is no type of a column", "columns are bool, integers"],
    ),
    (
        "text that would be copied for each row",
        "#[derive(Row)] struct In { name: String }",
        &["`String` can't be read from a column", "text is read as &str"],
    ),
    (
        "a reference without lifetime",
        "#[derive(Row)] struct In { name: &str }",
        &["the reference needs the struct's lifetime, such as &'a str"],
    ),
    (
        "a table without a kind",
        "#[derive(Table)] #[table(name = \"t\")] struct Out { id: i64 }",
        &["the table's kind is missing, as in #[table(name = \"orders\", kind = \"current\""],
    ),
    (
        "a table of an unknown kind",
        "#[derive(Table)] #[table(name = \"t\", kind = \"latest\")] struct Out { id: i64 }",
        &["a table is of kind \"append\" (each row stays) or \"current\""],
    ),
    (
        "a sort key that is no column",
        "#[derive(Table)] #[table(name = \"t\", kind = \"append\", sort_key = [\"idd\", \"toDate(at)\"])] struct Out { id: i64 }",
        &["`idd` is no column of the table; there are id"],
    ),
    (
        "a current table without a key",
        "#[derive(Table)] #[table(name = \"t\", kind = \"current\")] struct Out { id: i64 }",
        &["a table of kind \"current\" has a row for each key: say which, as in sort_key"],
    ),
    (
        "an index without expression",
        "#[derive(Table)] #[table(name = \"t\", kind = \"append\", index(name = \"i\", kind = \"minmax\"))] struct Out { id: i64 }",
        &["the index's expression is missing, as in index(name = \"by_user\""],
    ),
    (
        "two columns of one name",
        "#[derive(Row)] struct In { id: i64, #[column(name = \"id\")] again: i64 }",
        &["column `id` is here twice"],
    ),
    (
        "a key that no column has",
        "#[derive(Row)] struct In { #[column(nmae = \"x\")] id: i64 }",
        &["a column here has name, rest, before, header, change, required"],
    ),
    (
        "a change column that does not exist",
        "#[derive(Row)] struct In { #[column(change = \"ofset\")] at: i64 }",
        &["a change column is one of op, deleted, version, source_timestamp, topic, partition, offset, key"],
    ),
    (
        "a change column of another type",
        "#[derive(Row)] struct In { #[column(change = \"offset\")] at: i32 }",
        &["the change column `offset` has the type i64"],
    ),
    (
        "a field before the change that can't be null",
        "#[derive(Row)] struct In { #[column(before = \"plan\")] old: i64 }",
        &["not every change has a row before it: the column has to be an Option"],
    ),
    (
        "a column from two places",
        "#[derive(Row)] struct In { #[column(header = \"a\", change = \"offset\")] at: Option<i64> }",
        &["a column comes from one place"],
    ),
    (
        "a made column that says where it comes from",
        "#[derive(Table)] #[table(name = \"t\", kind = \"append\")] struct Out { #[column(from = \"x\")] id: i64 }",
        &["from, rest, before, header, change and required are for columns of type Pass<T>"],
    ),
    (
        "a decimal that 128 bits do not hold",
        "#[derive(Row)] struct In { amount: Decimal<39, 2> }",
        &["Decimal<P, S> holds 1 to 38 digits: use Decimal256 for more"],
    ),
    (
        "a list of lists",
        "#[derive(Row)] struct In<'a> { matrix: List<'a, List<'a, i64>> }",
        &["lists and maps hold single values, no other lists or maps"],
    ),
    (
        "a parameter without words",
        "#[derive(Parameters)] struct P { limit: i32 }",
        &["a parameter needs a doc comment: it tells users what to set"],
    ),
    (
        "a default that is none",
        "#[derive(Parameters)] struct P { /** Most. */ #[parameter(default = \"ten\")] limit: i32 }",
        &["the default `ten` is no i32"],
    ),
    (
        "a function without context",
        "#[derive(Row)] struct In { id: i64 }
         #[derive(Table)] #[table(name = \"t\", kind = \"append\")] struct Out { id: i64 }
         fn clean(row: In) -> Result<Out, Reject> { Ok(Out { id: row.id }) }
         plugin_sdk::export! { plugin: P, input: In, output: Out, row: clean }",
        &["function is expected to take 2 arguments, but it takes 1 argument"],
    ),
    (
        "a function of another row",
        "#[derive(Row)] struct In { id: i64 }
         #[derive(Table)] #[table(name = \"t\", kind = \"append\")] struct Out { id: i64 }
         fn clean(change: Change<In>, _: &Ctx) -> Result<Out, Reject> { Ok(Out { id: change.row.id }) }
         plugin_sdk::export! { plugin: P, input: In, output: Out, row: clean }",
        &[
            "expected function signature `fn(In, &plugin_sdk::Ctx) -> _`",
            "found function signature `fn(plugin_sdk::Change<In>,",
        ],
    ),
    (
        "a function that gives back something else",
        "#[derive(Row)] struct In { id: i64 }
         #[derive(Table)] #[table(name = \"t\", kind = \"append\")] struct Out { id: i64 }
         fn clean(row: In, _: &Ctx) -> Result<Option<Out>, Reject> { Ok(Some(Out { id: row.id })) }
         plugin_sdk::export! { plugin: P, input: In, output: Out, row: clean }",
        &["to return `Result<Out, Reject>`, but it returns `Result<Option<Out>, Reject>`"],
    ),
    (
        "an output that is no table",
        "#[derive(Row)] struct In { id: i64 }
         struct Out { id: i64 }
         fn clean(row: In, _: &Ctx) -> Result<Out, Reject> { Ok(Out { id: row.id }) }
         plugin_sdk::export! { plugin: P, input: In, output: Out, row: clean }",
        &["`Out` is nothing that a transform can give back", "a struct with #[derive(Table)]"],
    ),
    (
        "rows from a function that gives one",
        "#[derive(Row)] struct In { id: i64 }
         #[derive(Table)] #[table(name = \"t\", kind = \"append\")] struct Out { id: i64 }
         fn clean(row: In, _: &Ctx) -> Result<Out, Reject> { Ok(Out { id: row.id }) }
         plugin_sdk::export! { plugin: P, input: In, output: Out, rows: clean }",
        &["`Out` is not an iterator"],
    ),
    (
        "parts of export! in another order",
        "#[derive(Row)] struct In { id: i64 }
         plugin_sdk::export! { input: In, plugin: P, output: In, row: clean }",
        &["export! takes, in this order: `plugin: Name, format: Flat, input: Row"],
    ),
    (
        "a style that does not exist",
        "#[derive(Row)] struct In { id: i64 }
         #[derive(Table)] #[table(name = \"t\", kind = \"append\")] struct Out { id: i64 }
         fn clean(row: In, _: &Ctx) -> Result<Out, Reject> { Ok(Out { id: row.id }) }
         plugin_sdk::export! { plugin: P, input: In, output: Out, each: clean }",
        &["`each`: a plugin has `row: function`, `rows: function` or `batch: function`"],
    ),
    (
        "a key that is none",
        "#[derive(Row)] struct In { id: i64, price: f64 }
         #[derive(Table)] #[table(name = \"t\", kind = \"append\")] struct Out { id: i64 }
         fn clean(row: In, _: &Ctx) -> Result<Out, Reject> { Ok(Out { id: row.id }) }
         plugin_sdk::export! { plugin: P, input: In, output: Out, dedup: by(|row| row.price), row: clean }",
        &["`f64` is no key of state", "keys are integers, bool, &str"],
    ),
    (
        "an event time that is none",
        "#[derive(Row)] struct In { id: i64 }
         #[derive(Table)] #[table(name = \"t\", kind = \"append\")] struct Out { id: i64 }
         fn clean(row: In, _: &Ctx) -> Result<Out, Reject> { Ok(Out { id: row.id }) }
         plugin_sdk::export! { plugin: P, input: In, output: Out, event_time: of(|row| row.id), row: clean }",
        &["`i64` is no event time", "an event time is a Timestamp in UTC"],
    ),
    (
        "a key that the row does not have",
        "#[derive(Row)] struct In { id: i64 }
         #[derive(Table)] #[table(name = \"t\", kind = \"append\")] struct Out { id: i64 }
         fn clean(row: In, _: &Ctx) -> Result<Out, Reject> { Ok(Out { id: row.id }) }
         plugin_sdk::export! { plugin: P, input: In, output: Out, dedup: by(|row| row.key), row: clean }",
        &["no field `key` on type `&In`"],
    ),
    (
        "a value that can't be kept",
        "#[derive(Clone, StateValue)] struct Kept<'a> { name: &'a str }",
        &["what is kept outlives its batch: no lifetimes or other parameters; text is a String"],
    ),
    (
        "a field that can't be kept",
        "#[derive(Clone, StateValue)] struct Kept { at: std::time::Instant }",
        &["`Instant` can't be a field of what is kept in state"],
    ),
    (
        "a version that is not newer",
        "#[derive(StateValue)] struct Old { id: i64 }
         #[derive(StateValue)] #[state(from = Old)] struct New { id: i64 }
         impl From<Old> for New { fn from(old: Old) -> Self { Self { id: old.id } } }",
        &["the version is to be greater than that of the type in `from`"],
    ),
    (
        "an older version that nothing comes from",
        "#[derive(StateValue)] struct Old { id: i64 }
         #[derive(StateValue)] #[state(version = 2, from = Old)] struct New { id: i64 }",
        &["the trait `From<Old>` is not implemented for `New`"],
    ),
    (
        "a variant with fields in state",
        "#[derive(StateValue)] enum Kind { One, Two(i64) }",
        &["a variant that is kept in state has no fields"],
    ),
    (
        "a row function without its entry",
        "#[derive(Row)] struct In { id: i64 }
         #[derive(Table)] #[table(name = \"t\", kind = \"append\")] struct Out { id: i64 }
         fn clean(row: In, _: &Ctx) -> Result<Out, Reject> { Ok(Out { id: row.id }) }
         plugin_sdk::export! { plugin: P, input: In, output: Out, state: KeyedState<i64, u64>, key: |row| row.id, row: clean }",
        &["function is expected to take 3 arguments, but it takes 2 arguments"],
    ),
    (
        "state without a key",
        "#[derive(Row)] struct In { id: i64 }
         #[derive(Table)] #[table(name = \"t\", kind = \"append\")] struct Out { id: i64 }
         fn clean(row: In, _: &mut Entry<u64>, _: &Ctx) -> Result<Out, Reject> { Ok(Out { id: row.id }) }
         plugin_sdk::export! { plugin: P, input: In, output: Out, state: KeyedState<i64, u64>, row: clean }",
        &["in row style `state` goes with `key: |row| …`"],
    ),
    (
        "a key of another type than the state's",
        "#[derive(Row)] struct In<'a> { name: &'a str }
         #[derive(Table)] #[table(name = \"t\", kind = \"append\")] struct Out { id: i64 }
         fn clean(_: In, _: &mut Entry<u64>, _: &Ctx) -> Result<Out, Reject> { Ok(Out { id: 1 }) }
         plugin_sdk::export! { plugin: P, input: In, output: Out, state: KeyedState<i64, u64>, key: |row| row.name, row: clean }",
        &["expected `i64`, found `&str`"],
    ),
    (
        "sessions without the function of their row",
        "#[derive(Row)] struct In { id: i64, at: Timestamp<Millis> }
         #[derive(Table)] #[table(name = \"t\", kind = \"current\", sort_key = [\"id\"])] struct Out { id: i64 }
         fn clean(row: In, _: &Ctx) -> Result<Option<()>, Reject> { Ok(Some(())) }
         plugin_sdk::export! { plugin: P, input: In, output: Out, event_time: of(|row| row.at),
             sessions: by(|row| row.id).gap(minutes(1)), row: clean }",
        &["with `sessions` go the functions `row`, `event` where events have rows of their own, and `session`"],
    ),
    (
        "a sum that does not add up",
        "#[derive(Row)] struct In { id: i64, at: Timestamp<Millis> }
         #[derive(Table)] #[table(name = \"t\", kind = \"current\", sort_key = [\"id\"])] struct Out { id: i64 }
         fn clean(row: In, _: &Ctx) -> Result<Option<u64>, Reject> { Ok(Some(1)) }
         fn session(id: i64, _: Session<u64>, _: &Ctx) -> Out { Out { id } }
         plugin_sdk::export! { plugin: P, input: In, output: Out, event_time: of(|row| row.at),
             sessions: by(|row| row.id).gap(minutes(1)), row: clean, session: session }",
        &["`u64` is no sum of a session", "say with `impl Merge for u64` how two parts add up"],
    ),
    (
        "parts of state in another order",
        "#[derive(Row)] struct In { id: i64, at: Timestamp<Millis> }
         #[derive(Table)] #[table(name = \"t\", kind = \"append\")] struct Out { id: i64 }
         fn clean(row: In, _: &Ctx) -> Result<Out, Reject> { Ok(Out { id: row.id }) }
         plugin_sdk::export! { plugin: P, input: In, output: Out, dedup: by(|row| row.id), event_time: of(|row| row.at), row: clean }",
        &["export! takes, in this order"],
    ),
    (
        "a setting that does not exist",
        "#[derive(Row)] struct In { id: i64, at: Timestamp<Millis> }
         #[derive(Table)] #[table(name = \"t\", kind = \"append\")] struct Out { id: i64 }
         fn clean(row: In, _: &Ctx) -> Result<Out, Reject> { Ok(Out { id: row.id }) }
         plugin_sdk::export! { plugin: P, input: In, output: Out, event_time: of(|row| row.at).lateness(minutes(1)), row: clean }",
        &["no method named `lateness` found for struct `EventTime"],
    ),
];

/// One that compiles: without it all others could fail for another reason.
const GOOD: &str = "#[derive(Row)] struct In<'a> { name: &'a str }
    #[derive(Table)] #[table(name = \"t\", kind = \"append\")] struct Out<'a> { name: &'a str }
    fn clean<'a>(row: In<'a>, _: &Ctx) -> Result<Out<'a>, Reject> { Ok(Out { name: row.name }) }
    plugin_sdk::export! { plugin: P, input: In, output: Out, row: clean }";

#[test]
fn what_does_not_compile_says_what_is_wrong() {
    let sdk = sdk();
    let compile = |source: &str| compile(&sdk, source);
    let good = compile(GOOD);
    assert!(good.is_none(), "{good:?}");
    let wrong: Vec<String> = std::thread::scope(|scope| {
        let cases: Vec<_> = CASES.iter().map(|case| (case, scope.spawn(|| compile(case.1)))).collect();
        let failure =
            |((name, _, expected), compiled): (&(&str, &str, &[&str]), std::thread::ScopedJoinHandle<'_, _>)| {
                let said: Option<String> = compiled.join().expect("no panic");
                match said {
                    None => Some(format!("{name}: compiles")),
                    Some(said) if expected.iter().all(|words| said.contains(words)) => None,
                    Some(said) => Some(format!("{name}: {expected:?} is not in\n{said}")),
                }
            };
        cases.into_iter().filter_map(failure).collect()
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What rustc says against a source; `None`: nothing.
fn compile(sdk: &Path, source: &str) -> Option<String> {
    let dependencies = sdk.parent().expect("a file lies in a folder");
    let mut rustc = Command::new(env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    rustc
        .args([
            "--edition=2024",
            "--verbose",
            "--crate-type=lib",
            "--crate-name=case",
            "--emit=metadata",
            "-Adead_code",
            "-",
        ])
        .arg("--out-dir")
        .arg(env!("CARGO_TARGET_TMPDIR"))
        .arg("--extern")
        .arg(format!("plugin_sdk={}", sdk.display()))
        .arg("-L")
        .arg(format!("dependency={}", dependencies.display()))
        .env("CARGO_PKG_NAME", "case")
        .env("CARGO_PKG_VERSION", "0.0.0")
        .stdin(Stdio::piped())
        .stderr(Stdio::piped());
    let mut running = rustc.spawn().expect("rustc starts: cargo has just compiled this test");
    let uses = "#![allow(unused_imports)]\nuse plugin_sdk::*;\n";
    let mut stdin = running.stdin.take().expect("it is piped");
    stdin.write_all(format!("{uses}{source}\n").as_bytes()).expect("rustc reads its input");
    drop(stdin);
    let output = running.wait_with_output().expect("rustc ends");
    (!output.status.success()).then(|| String::from_utf8_lossy(&output.stderr).into_owned())
}

/// The library that this test was linked with: the newest beside it.
fn sdk() -> PathBuf {
    let test = env::current_exe().expect("the test's own path");
    let folder = test.parent().expect("a file lies in a folder");
    let libraries = fs::read_dir(folder).expect("the folder of the test").filter_map(|entry| {
        let path = entry.ok()?.path();
        let name = path.file_name()?.to_str()?;
        (name.starts_with("libplugin_sdk-") && name.ends_with(".rlib"))
            .then(|| Some((fs::metadata(&path).ok()?.modified().ok()?, path.clone())))?
    });
    libraries.max().expect("cargo has built the SDK beside its test").1
}
