//! What is a plugin, and what is refused with which words.

use std::sync::Arc;

use arrow_schema::{DataType, Field, TimeUnit};

use super::border::{Random, every_type};
use super::guest::{Guest, Output, WIT, embed, parameter};
use super::{HOST, State, context, instance};
use crate::plugin::{Host, HostSettings, LoadError, Origin};
use crate::table::TableKind;

fn refused(bytes: impl Into<bytes::Bytes>) -> LoadError {
    HOST.load(bytes).err().expect("it must be refused")
}

fn core(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap()
}

#[test]
fn a_core_module_and_the_component_made_of_it_are_the_same_plugin_with_other_bytes() {
    let module = Guest::echo(every_type(true)).module();
    let component = wit_component::ComponentEncoder::default().module(&module).unwrap().encode().unwrap();
    let [one, other] = [module.clone(), component.into()].map(|bytes| HOST.load(bytes).unwrap());
    assert_eq!(one.description(), other.description());
    assert_ne!(one.digest(), other.digest());
    assert_eq!((one.digest().len(), one.bytes()), (64, &module));
    assert_eq!(one.digest(), HOST.load(module).unwrap().digest());
    assert_eq!((one.description().name.as_str(), one.description().version.as_str()), ("guest", "1.0.0"));
}

#[test]
fn what_is_no_webassembly_is_refused() {
    for bytes in [&b""[..], b"\0as", b"(module)", b"\x7fELF\x02\x01\x01\0", &[0xff; 100]] {
        assert!(matches!(refused(bytes), LoadError::NotWasm), "{bytes:?}");
    }
    assert!(matches!(refused(&b"\0asm\x63\0\0\0"[..]), LoadError::Invalid { .. }));
    assert!(matches!(refused(&b"\0asm"[..]), LoadError::Invalid { .. }));
}

#[test]
fn a_truncated_or_damaged_artifact_is_refused_or_harmless() {
    let module = Guest::new().module();
    let component = wit_component::ComponentEncoder::default().module(&module).unwrap().encode().unwrap();
    let seed = 7;
    println!("seed {seed}");
    let mut random = Random::new(seed);
    for whole in [&module[..], &component] {
        for part in 1..20 {
            // The end of a module is metadata: without it, it is no plugin.
            let cut = &whole[..whole.len() * part / 20];
            HOST.load(cut.to_vec()).err().expect("it must be refused");
        }
        for _ in 0..60 {
            let mut damaged = whole.to_vec();
            let at = usize::try_from(random.next()).unwrap() % damaged.len();
            damaged[at] ^= 1 << (random.next() % 8);
            // Some bits are names or data. What loads, runs.
            if let Ok(plugin) = HOST.load(damaged) {
                let _ = plugin.instance(&context(), super::LIMITS);
            }
        }
    }
}

#[test]
fn an_artifact_may_not_be_larger_than_the_setting() {
    let host = Host::new(HostSettings { artifact_bytes: 100, instances: 1, ..HostSettings::default() }).unwrap();
    let error = host.load(Guest::new().module()).err().unwrap();
    assert!(matches!(error, LoadError::TooLarge { limit_bytes: 100, .. }), "{error}");
}

#[test]
fn imports_outside_of_the_contract_are_named() {
    let module = core(
        r#"(module (import "wasi_snapshot_preview1" "fd_write" (func (param i32 i32 i32 i32) (result i32)))
                   (import "env" "now" (func (result i64))))"#,
    );
    let LoadError::Imports { names } = refused(module) else { panic!() };
    assert_eq!(names, ["wasi_snapshot_preview1/fd_write", "env/now"]);

    let component = core(r#"(component (import "wasi:cli/environment@0.2.0" (instance)))"#);
    let error = refused(component);
    assert!(error.to_string().contains("wasi:cli/environment@0.2.0"), "{error}");
    assert!(error.to_string().contains("wasm32-unknown-unknown"), "{error}");
}

#[test]
fn a_version_that_the_engine_does_not_have_is_refused_before_anything_runs() {
    for (version, advice) in [
        ("0.1.0", "build it again with the SDK of this engine"),
        ("0.4.0", "take a newer engine, or build the plugin with the SDK of this one"),
        ("1.0.0", "take a newer engine, or build the plugin with the SDK of this one"),
    ] {
        let mut guest = Guest::new();
        guest.wit = WIT.replace("plugin@0.3.0", &format!("plugin@{version}"));
        guest.describe = "(unreachable)".to_owned();
        let module = guest.module();
        let component = wit_component::ComponentEncoder::default().module(&module).unwrap().encode().unwrap();
        for bytes in [module.to_vec(), component] {
            let said = refused(bytes).to_string();
            let expected = format!(
                "it was built for version {version} of the plugin contract, this engine loads 0.2 and 0.3: {advice}"
            );
            assert_eq!(said, expected);
        }
    }
}

#[test]
fn other_types_under_the_same_version_are_refused() {
    for (ours, theirs) in [
        ("now-ms: s64", "now-ms: u64"),
        ("log: func(level: level, message: string)", "log: func(level: level, message: list<u8>)"),
        ("code: string", "code: list<u8>"),
    ] {
        let mut guest = Guest::new();
        guest.wit = WIT.replace(ours, theirs);
        assert_ne!(guest.wit, WIT);
        let error = refused(guest.module());
        assert!(error.to_string().contains("other types than the contract's"), "{error}");
    }
}

#[test]
fn webassembly_that_is_no_plugin_is_refused() {
    let plain = refused(core("(module)"));
    assert!(matches!(plain, LoadError::NotAPlugin { .. }), "{plain:?}");
    let plain = refused(core("(component)"));
    assert!(matches!(plain, LoadError::NotAPlugin { .. }), "{plain:?}");
    // Metadata that promises exports which are not there.
    let mut lying = core("(module)");
    embed(&mut lying, WIT);
    let lying = refused(lying);
    assert!(matches!(lying, LoadError::NotAPlugin { .. }), "{lying:?}");
}

#[test]
fn features_outside_of_the_sandbox_are_refused() {
    for (feature, text) in [
        ("memory64", "(memory i64 1)"),
        ("threads", "(memory 1 1 shared)"),
        ("multi-memory", "(memory 1) (memory 1)"),
        ("tail calls", "(func $f (return_call $f))"),
        ("relaxed simd", "(func (param v128) (result v128) (i32x4.relaxed_trunc_f32x4_s (local.get 0)))"),
        ("gc", "(type (struct (field i32)))"),
        ("exceptions", "(tag)"),
        ("reference types", "(table 1 externref)"),
        (
            "reference types",
            "(table $t 1 funcref) (func (param i32) (drop (table.grow $t (ref.null func) (local.get 0))))",
        ),
        ("several tables", "(table 1 funcref) (table 1 funcref)"),
        ("function references", "(type $f (func)) (func (param (ref $f)) (call_ref $f (local.get 0)))"),
        ("wide arithmetic", "(func (result i64 i64) (i64.mul_wide_s (i64.const 1) (i64.const 2)))"),
        ("custom page sizes", "(memory 1 (pagesize 1))"),
    ] {
        let component = core(&format!("(component (core module {text}))"));
        let error = refused(component);
        let refused = matches!(error, LoadError::Invalid { .. } | LoadError::TooMany { .. });
        assert!(refused, "{feature}: {error:?}");
    }
}

#[test]
fn everything_that_is_wrong_with_a_description_is_said_at_once() {
    let field = |name: &str, data_type| Field::new(name, data_type, false);
    let n = field("n", DataType::Int64);
    let mut guest = Guest::with(
        vec![
            n.clone(),
            n,
            field("_op", DataType::Utf8),
            field("_source_ts", DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()))),
            field("", DataType::Int8),
            Field::new("maybe", DataType::Utf8, true),
            field("wide", DataType::Decimal128(0, 0)),
            field("odd", DataType::Decimal128(5, -1)),
        ],
        vec![
            (field("far", DataType::Int64), Origin::Input(99)),
            (field("other", DataType::Utf8), Origin::Input(0)),
            (field("maybe", DataType::Utf8), Origin::Input(5)),
            (field("_version", DataType::UInt64), Origin::Made),
            (field("twice", DataType::Int8), Origin::Made),
            (field("twice", DataType::Int8), Origin::Made),
        ],
    );
    guest.name = " ".to_owned();
    let mut current = Output::append("u", vec![(Field::new("key", DataType::Int8, true), Origin::Made)]);
    current.kind = TableKind::Current;
    let mut keyed = Output::append("u_current", vec![(Field::new("key", DataType::Int8, true), Origin::Made)]);
    keyed.sort_key = vec!["key".to_owned(), "missing".to_owned(), String::new(), "lower(missing)".to_owned()];
    keyed.partition_by = Some("absent".to_owned());
    guest.outputs.extend([current, keyed, Output::append("", vec![])]);
    guest.parameters = vec![parameter("p", None), parameter("p", None), parameter("", None)];

    let LoadError::Description { problems } = refused(guest.module()) else { panic!() };
    let expected = [
        "plugin name is empty",
        "input column name is empty",
        r#"input column "wide": a decimal has 1 to 76 digits, not 0"#,
        r#"input column "odd": the scale of a decimal of 5 digits is 0 to 5, not -1"#,
        r#"input column "n" occurs twice"#,
        r#"input column "_op" is the change's _op: UInt8, not Utf8"#,
        r#"input column "_source_ts" is the change's _source_ts: Timestamp(ms, "UTC"), nullable, not Timestamp(ms, "UTC")"#,
        r#"input column "" is the rest of the row, an object: it has to be json, not Int8"#,
        r#"table t: column "far" comes from input column 99, but there are 8"#,
        r#"table t: column "other" is Utf8, but the input column "n" it comes from is Int64"#,
        r#"table t: column "maybe" is not nullable, but the input column "maybe" it comes from is"#,
        r#"table t: column "twice" occurs twice"#,
        "table t: column _version is reserved: the engine adds it to every table",
        "table u: a table of current rows needs a sort key: what tells its rows apart",
        r#"table u_current: sort key "key" is nullable"#,
        r#"table u_current: sort key "missing" is none of its columns"#,
        r#"table u_current: sort key "" is empty"#,
        r#"table u_current: partition key "absent" is none of its columns"#,
        "table name is empty",
        "table : it has no columns",
        r#"table or view "u_current" occurs twice"#,
        r#"parameter "p" occurs twice"#,
        "parameter name is empty",
    ];
    assert_eq!(problems, expected);
}

#[test]
fn a_description_arrives_whole() {
    let key = Field::new("_key", DataType::Binary, true);
    let id = Field::new("id", DataType::Decimal256(40, 3), false);
    let mut guest = Guest::with(vec![id.clone(), key.clone()], vec![]);
    guest.stay = vec![1];
    guest.outputs = vec![Output {
        table: "orders".to_owned(),
        kind: TableKind::Current,
        columns: vec![
            (id.clone(), Origin::Input(0)),
            (key.clone(), Origin::Input(1)),
            (id.clone().with_name("m"), Origin::Made),
        ],
        sort_key: vec!["id".to_owned(), "cityHash64(m)".to_owned()],
        partition_by: Some("_partition".to_owned()),
        indexes: vec![],
    }];
    guest.parameters = vec![parameter("rate", Some("1")), parameter("zone", None)];
    let plugin = HOST.load(guest.module()).unwrap();
    let description = plugin.description();
    assert_eq!(description.input.fields().iter().map(|field| (**field).clone()).collect::<Vec<_>>(), [id.clone(), key]);
    assert_eq!(description.crosses, [true, false]);
    let output = &description.outputs[0];
    assert_eq!((output.table.as_str(), output.kind), ("orders", TableKind::Current));
    assert_eq!(output.columns[2], (id.with_name("m"), Origin::Made));
    assert_eq!(output.sort_key, ["id", "cityHash64(m)"]);
    assert_eq!(output.partition_by.as_deref(), Some("_partition"));
    assert_eq!(description.parameters, [parameter("rate", Some("1")), parameter("zone", None)]);
}

#[test]
fn parameters_and_clock_reach_start() {
    let mut guest = Guest::new();
    guest.parameters = vec![parameter("a", None), parameter("b", None)];
    // Traps unless there are two parameters, the second begins with 'y', and the clock is the context's.
    guest.start = "(if (i32.ne (local.get $count) (i32.const 2)) (then (unreachable)))
        (if (i32.ne (i32.load8_u (i32.load offset=8 (local.get $parameters))) (i32.const 121)) (then (unreachable)))
        (if (i64.ne (local.get $now) (i64.const 1700000000000)) (then (unreachable)))"
        .to_owned();
    let plugin = HOST.load(guest.module()).unwrap();
    let with = |parameters: [&str; 2]| {
        let parameters: Arc<[String]> = parameters.map(str::to_owned).into();
        plugin.instance(&crate::plugin::Context { parameters, ..context() }, super::LIMITS)
    };
    assert!(with(["x", "yes"]).is_ok());
    assert!(with(["yes", "x"]).is_err());
}

/// Reloads while others work: what breaks hosts is a module that goes while another comes.
#[test]
fn plugins_come_and_go_while_others_work() {
    let steady = HOST.load(Guest::echo(every_type(true)).module()).unwrap();
    let batch = super::border::random_batch(every_type(true), 50, 3);
    std::thread::scope(|scope| {
        let reloading = [0, 1].map(|thread| {
            scope.spawn(move || {
                for round in 0..15 {
                    let mut guest = Guest::echo(every_type(round % 2 == 0));
                    guest.name = format!("guest-{thread}-{round}");
                    let plugin = HOST.load(guest.module()).unwrap();
                    drop(instance(&plugin));
                }
            })
        });
        while !reloading.iter().all(std::thread::ScopedJoinHandle::is_finished) {
            let answer = instance(&steady).process(&batch, &mut State::default()).unwrap();
            assert_eq!(answer.emitted[0].made.columns(), batch.columns());
        }
    });
}
