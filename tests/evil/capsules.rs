//! Crash capsules: a call that failed, done again with what was kept of it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use engine::artifacts::Artifacts;
use engine::batch::{Message, RawBatch};
use engine::capsule::{Capsule, Capsules, Outcome, Replayed, Rules, Seen, list, replay};
use engine::offsets::{LaneId, OffsetRange, TopicPartition};
use engine::plugin::{Host, HostSettings};
use engine::registry::Schemas;
use engine::state::State;
use engine::transform::{Epoch, Kind, Transform, TransformSettings, Transformed};
use harness::engine::program;
use tempfile::TempDir;

use super::guest::Guest;

/// What the guests look for in each row, whose number lies eight bytes further for each.
const EACH_ROW: &str = "(local.set $at (i32.load offset=8 (local.get $buffers)))
    (local.set $end (i32.add (local.get $at) (i32.mul (local.get $rows) (i32.const 8))))
    (block $done (loop $next
        (br_if $done (i32.ge_u (local.get $at) (local.get $end)))";
const NEXT_ROW: &str = "(local.set $at (i32.add (local.get $at) (i32.const 8))) (br $next)))";
const LOCALS: &str = "(local $at i32) (local $end i32)";

fn on_rows(name: &str, more: &str, body: &str) -> Guest {
    let process = format!("{LOCALS} {EACH_ROW} {body} {NEXT_ROW}");
    Guest { more: more.to_owned(), ..Guest::process(name, &process) }
}

const IS_13: &str = "(i64.eq (i64.load (local.get $at)) (i64.const 13))";

/// Fails on the number 13, two functions deep.
fn fails_on_13(name: &str, how: &str) -> Guest {
    let functions = format!("(func $no_such_order {how}) (func $check_order (call $no_such_order))");
    on_rows(name, &functions, &format!("(if {IS_13} (then (call $check_order)))"))
}

/// Remembers all numbers in its first table, and traps on one that it has seen.
fn traps_on_what_it_has_seen(name: &str) -> Guest {
    let numbers = "(i32.const 0) (i32.const 8) (i32.load offset=8 (local.get $buffers))
        (i32.mul (local.get $rows) (i32.const 8)) (i32.const 0)";
    // Of one row its bit has to be set, of more those of the first two.
    let process = format!(
        "{LOCALS} (call $insert (i32.const 0) {numbers} (i32.const 0) (i32.const 0) (i32.const 1024))
         (local.set $at (i32.load8_u (i32.load (i32.const 1024))))
         (local.set $end (select (i32.const 1) (i32.const 3) (i32.eq (local.get $rows) (i32.const 1))))
         (if (i32.ne (i32.and (local.get $at) (local.get $end)) (local.get $end)) (then (call $seen_before)))"
    );
    Guest { more: "(func $seen_before (unreachable))".to_owned(), ..Guest::process(name, &process) }
}

struct Lane {
    data: TempDir,
    transform: Transform,
    state: State,
    epoch: u64,
}

impl Lane {
    fn new(guest: &Guest, redact: &[&str]) -> Self {
        let data = harness::place::folder("capsules");
        let host = Host::new(HostSettings { instances: 2, ..HostSettings::default() }).expect("WebAssembly");
        let mut settings = TransformSettings::new("acme", "orders", Kind::Plugin, "d");
        settings.limits.call_ms = 200;
        let artifacts = Artifacts::open(data.path()).expect("a folder");
        let rules = Rules { keep: 3, redact: redact.iter().map(|name| (*name).to_owned()).collect() };
        let capsules = Capsules::new(artifacts, rules, id());
        let transform = Transform::build(&host, settings, Some(guest.module())).expect("a plugin");
        let transform = transform.keeping(Some(capsules));
        let state = transform.empty_state();
        Self { data, transform, state, epoch: 0 }
    }

    /// An epoch of these numbers.
    fn run(&mut self, numbers: std::ops::Range<i64>) -> Transformed {
        let message = |n: i64| {
            let json = format!(r#"{{"before":null,"after":{{"n":{n}}},"op":"c","ts_ms":1,"source":{{"ts_ms":1}}}}"#);
            Message::owned(n + 100, Some(0), None, Some(json.into_bytes()), vec![])
        };
        let range = OffsetRange { start: numbers.start + 100, end: numbers.end + 100 };
        let partition = TopicPartition { topic: "t".into(), partition: 0 };
        let raw = RawBatch { partition, range, messages: numbers.map(message).collect(), bytes: 0 };
        self.epoch += 1;
        let clock_ms = 1_700_000_000_000 + i64::try_from(self.epoch).expect("few");
        let epoch = Epoch { generation: 1, number: self.epoch, clock_ms, watermark_ms: None };
        self.transform.run(&id(), &raw, &Schemas::default(), epoch, &mut self.state).expect("an epoch")
    }

    fn capsules(&self) -> Vec<PathBuf> {
        list(self.data.path()).expect("a folder")
    }

    fn only(&self) -> (PathBuf, Capsule) {
        let [path] = <[PathBuf; 1]>::try_from(self.capsules()).expect("one capsule");
        let capsule = Capsule::read(&path).expect("a capsule");
        (path, capsule)
    }
}

fn id() -> LaneId {
    let text = |text: &str| text.to_owned();
    LaneId { tenant: text("acme"), plugin: text("orders"), topic: text("t"), topic_id: String::new(), partition: 0 }
}

fn again(capsule: &Capsule, guest: &Guest) -> Replayed {
    let host = Host::new(HostSettings { instances: 2, ..HostSettings::default() }).expect("WebAssembly");
    replay(capsule, &host.load(guest.module()).expect("a plugin"), &[]).expect("it fits")
}

fn engine(arguments: &[&str], file: &Path) -> (Output, String) {
    let output = Command::new(program()).args(arguments).arg(file).output().expect("the engine runs");
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output, said)
}

#[test]
fn a_trap_by_one_row_traps_again_and_a_fixed_plugin_makes_the_row() {
    let guest = fails_on_13("orders", "(unreachable)");
    let mut lane = Lane::new(&guest, &[]);
    let made = lane.run(0..1_000);
    assert_eq!(made.intent.poison.iter().map(|poison| poison.offset).collect::<Vec<_>>(), [113]);
    let (path, capsule) = lane.only();
    assert_eq!((capsule.about.code.as_str(), &capsule.about.offsets[..]), ("trap", &[113][..]));
    assert_eq!(capsule.about.frames[..2], ["no_such_order", "check_order"]);
    let Some(Seen::Rows(rows)) = capsule.calls.last() else { panic!("{capsule:?}") };
    assert_eq!(rows.num_rows(), 1, "the row that fails alone");
    assert_eq!(fs::metadata(&path).expect("a file").permissions().mode() & 0o777, 0o600);

    let replayed = again(&capsule, &guest);
    assert!(matches!(replayed.outcome, Outcome::Same(_)), "{replayed:?}");
    assert_eq!(replayed.frames, capsule.about.frames);
    assert!(replayed.as_recorded.iter().all(|same| *same), "{replayed:?}");

    let fixed = Guest::new("orders");
    let Outcome::Succeeds(answer) = again(&capsule, &fixed).outcome else { panic!("the fixed plugin fails") };
    assert_eq!(answer.emitted[0].made.num_rows(), 1);

    // The same by hand: with the artifact that lies beside it, then with the fixed plugin.
    let (output, said) = engine(&["capsule", "replay"], &path);
    assert!(output.status.success() && said.contains("the same fault again"), "{said}");
    assert!(said.contains("at no_such_order\n  at check_order"), "{said}");
    let file = lane.data.path().join("fixed.wasm");
    fs::write(&file, fixed.module()).expect("a file");
    let (output, said) = engine(&["capsule", "replay", "--plugin", &file.to_string_lossy()], &path);
    assert!(output.status.success() && said.contains("no fault: 1 rows made"), "{said}");
    let (_, said) = engine(&["capsule", "show"], &path);
    assert!(said.contains("acme/orders/t/0") && said.contains("113") && said.contains("wasm trap"), "{said}");
    let (_, said) = engine(&["capsule", "list", "--data-dir"], lane.data.path());
    assert!(said.contains(&*path.to_string_lossy()), "{said}");
}

#[test]
fn a_deadline_names_the_function_that_it_came_in() {
    let guest = fails_on_13("orders", super::guest::FOREVER);
    let mut lane = Lane::new(&guest, &[]);
    lane.run(10..16);
    let (_, capsule) = lane.only();
    assert_eq!((capsule.about.code.as_str(), capsule.about.frames[0].as_str()), ("deadline", "no_such_order"));
    let replayed = again(&capsule, &guest);
    assert!(matches!(replayed.outcome, Outcome::Same(_)), "{replayed:?}");
}

#[test]
fn a_plugin_with_state_gets_the_answers_that_it_got() {
    let guest = traps_on_what_it_has_seen("orders");
    let mut lane = Lane::new(&guest, &[]);
    lane.run(0..8);
    assert!(lane.capsules().is_empty(), "all are new");
    // The first number of these was seen, and is found by halving.
    let made = lane.run(7..9);
    assert_eq!(made.intent.poison.iter().map(|poison| poison.offset).collect::<Vec<_>>(), [107]);
    let (_, capsule) = lane.only();
    let seen = 7_i64.to_le_bytes().to_vec();
    assert_eq!(capsule.state, [(0, seen, Some((vec![], i64::MAX)))]);
    let replayed = again(&capsule, &guest);
    assert!(matches!(replayed.outcome, Outcome::Same(_)), "{replayed:?}");
    // It is the state: without it there is no trap.
    let forgetful = Capsule { state: vec![], ..capsule };
    assert!(matches!(again(&forgetful, &guest).outcome, Outcome::Succeeds(_)));
}

#[test]
fn what_is_redacted_is_not_kept() {
    let guest = fails_on_13("orders", "(unreachable)");
    let mut lane = Lane::new(&guest, &["n"]);
    lane.run(0..20);
    let (path, capsule) = lane.only();
    assert_eq!(capsule.about.redacted, ["n"]);
    let bytes = fs::read(&path).expect("a file");
    assert!(!bytes.windows(8).any(|window| window == 13_i64.to_le_bytes()), "the number is in the file");
    // So the fault does not come again, and that is said.
    let (output, said) = engine(&["capsule", "replay"], &path);
    assert!(
        !output.status.success() && said.contains("left out of the capsule") && said.contains("no fault"),
        "{said}"
    );
    // A name that the plugin does not have would keep what was meant to be left out: then nothing is kept.
    let mut lane = Lane::new(&guest, &["m"]);
    lane.run(0..20);
    assert!(lane.capsules().is_empty());
}

#[test]
fn the_newest_capsules_are_kept() {
    let mut lane = Lane::new(&fails_on_13("orders", "(unreachable)"), &[]);
    for _ in 0..5 {
        lane.run(10..20);
    }
    let epochs: Vec<_> = lane.capsules().iter().map(|path| Capsule::read(path).expect("one").about.epoch).collect();
    assert_eq!(epochs, [3, 4, 5]);
}
