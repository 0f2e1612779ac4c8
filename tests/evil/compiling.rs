//! What artifacts do to whoever reads and compiles them: a child, which is refused more than its share.

use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use engine::disposition::in_words;
use engine::plugin::{ChildLimits, Compiler, Host, HostSettings};
use harness::engine::program;
use harness::wait::wait_for;

use super::guest::Guest;
use super::{CHILD, Case, host, run};

/// An honest guest with more in it.
fn more(name: &str, more: String) -> Vec<u8> {
    Guest { more, ..Guest::new(name) }.module().to_vec()
}

fn function(body: &str) -> String {
    format!("(func (param i32) (result i32) {body} (local.get 0))")
}

fn nested(depth: usize) -> String {
    format!("{}{}", "(block ".repeat(depth), ")".repeat(depth))
}

fn targets(count: usize) -> String {
    format!("(block $b (br_table {} (local.get 0)))", "$b ".repeat(count))
}

fn locals(count: usize) -> String {
    format!("(local {})", "i64 ".repeat(count))
}

fn types(count: usize) -> String {
    (0..count).fold(String::new(), |mut text, n| {
        let _ = write!(text, "(type (func {}))", "(param i32 i64 f64)".repeat(n % 30));
        text
    })
}

/// Words of a guest that is compiled after all, within the child's limits.
const LOADS: &str = "harmless";
/// The child came to a limit.
const COSTS: &str = "would take";
/// The compiler has limits of its own.
const ITS_OWN: &str = "failed to compile";

#[test]
fn artifacts_that_would_cost_too_much_are_refused() {
    run(vec![
        case("100,000 functions", || more("a", "(func)".repeat(100_000)), &["100004 functions", "functions, at most"]),
        case("3,000 functions", || more("b", function("").repeat(3_000)), &[LOADS]),
        case("one function of 2 MiB", || more("c", function(&sums(180_000))), &["in one function"]),
        case("one function of 900 KB", || more("d", function(&sums(70_000))), &[LOADS, COSTS, ITS_OWN]),
        case("20 MiB of code", || more("e", function(&sums(40_000)).repeat(55)), &["of code, at most"]),
        case("12 MiB of code", || more("f", function(&sums(40_000)).repeat(32)), &[LOADS, COSTS, ITS_OWN]),
        case("br_table of 200,000 targets", || more("g", function(&targets(200_000))), &[LOADS, COSTS, ITS_OWN]),
        case(
            "100 times br_table of 60,000 targets",
            || more("h", function(&targets(60_000)).repeat(100)),
            &[LOADS, COSTS, ITS_OWN],
        ),
        case(
            "20,000 blocks within each other",
            || more("i", function(&nested(20_000))),
            &[LOADS, COSTS, ITS_OWN, "nest"],
        ),
        case("600 blocks, each with a br_table to all", || more("j", br_tables_to_all(600)), &[LOADS, COSTS, ITS_OWN]),
        case(
            "50,000 locals, 300 times",
            || more("k", function(&locals(49_000)).repeat(300)),
            &[LOADS, COSTS, ITS_OWN, "allow"],
        ),
        case("60,000 locals", || more("l", function(&locals(60_000))), &["does not allow"]),
        case("20,000 types", || more("m", types(20_000)), &["types, at most"]),
        case(
            "60 MiB of data",
            || more("n", format!("(data \"{}\")", "x".repeat(60 << 20))),
            &[LOADS, COSTS, ITS_OWN, "more than"],
        ),
        case(
            "70 MiB of data",
            || more("o", format!("(data \"{}\")", "x".repeat(70 << 20))),
            &["at most 67108864 are loaded"],
        ),
        case("20,000 segments of data", || more("p", "(data \"\")".repeat(20_000)), &["segments of data"]),
        case("20,000 globals", || more("q", "(global i32 (i32.const 0))".repeat(20_000)), &["globals, at most"]),
        case("60,000 exports", || more("r", exports(60_000)), &["exports, at most"]),
        case("20 MiB of names of functions", named_functions, &[LOADS, COSTS, ITS_OWN]),
        case("200,000 imports", || imports(200_000), &["imports, at most"]),
        case("900 foreign imports", || imports(900), &["and 88"]),
        case(
            "a million custom sections",
            || custom_sections(1_000_000),
            &["not a plugin", "can't be made a component", "knows nothing"],
        ),
    ]);
}

#[test]
fn components_that_are_more_than_the_contract_are_refused() {
    run(vec![
        case("components within components", || text(&components(3)), &["components within"]),
        case("types within types", || text(&types_within(6)), &["not a plugin"]),
        case("types within types, 2,000 deep", || raw_types(2_000), &[COSTS, "knows nothing"]),
        case("types within types, 200,000 deep", || raw_types(200_000), &[COSTS, "does not allow"]),
        case("a type of 10^12 fields", || text(&wide(12)), &["not a plugin", "does not allow"]),
        case("40 modules", || text(&modules(40)), &["modules and instances"]),
        case("1,000 instances of a module", || text(&instances(1_000)), &["modules and instances"]),
        case("resources, whose handles the host would keep", || text(RESOURCES), &["it has resources"]),
        case("text in UTF-16", || text(UTF16), &["not UTF-8"]),
        case("a start function of the component", patched_start, &["does not allow", "start function"]),
        case("metadata whose packages depend on each other", circular, &["several packages", "not a plugin"]),
    ]);
}

#[test]
fn damaged_artifacts_never_end_more_than_their_child() {
    let seed = 20_261_121_u64;
    println!("seed {seed}");
    let mut random = seed;
    let mut next = move || {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(random >> 33).expect("31 bits")
    };
    let (module, component) = (Guest::new("whole").module().to_vec(), Guest::new("whole").component());
    let damage = move |mut whole: Vec<u8>| {
        for _ in 0..1 + next() % 8 {
            let (at, bit) = (8 + next() % (whole.len() - 8), next() % 8);
            whole[at] ^= 1 << bit;
        }
        whole
    };
    let damaged = [module, component].into_iter().flat_map(|whole| vec![whole; 10]).map(damage);
    run(damaged.map(|bytes| case("damaged", move || bytes, &[""])).collect());
}

/// Each limit of the child by itself, and children that are none.
#[test]
fn a_child_that_comes_to_a_limit_is_a_refusal_in_words() {
    let heavy = {
        let body = sums(20_000);
        let function = format!("(func (param i32) (result i32) {body} (local.get 0))");
        Guest { more: function.repeat(16), ..Guest::new("heavy") }.module()
    };
    let refused = |bytes: bytes::Bytes, program: PathBuf, limits: ChildLimits| {
        let settings = HostSettings { instances: 1, ..HostSettings::default() };
        let host = Host::with(settings, Compiler::Child { program, limits }, None).expect("a host");
        let error = host.load(bytes).err().expect("it must be refused");
        println!("{}", in_words(&error));
        (in_words(&error), error.passes())
    };
    let engine = || program().to_owned();
    let light = || Guest::new("light").module();
    let limited = |limits| refused(heavy.clone(), engine(), limits);
    let said = |refused: (String, bool), words: &str, passes: bool| {
        assert!(refused.0.contains(words), "{words:?} is not in {:?}", refused.0);
        assert_eq!(refused.1, passes, "{}", refused.0);
    };
    said(limited(ChildLimits { cpu_s: 1, ..CHILD }), "more than 1 s of CPU time", false);
    let large = Guest { more: function(&sums(70_000)), ..Guest::new("large") }.module();
    let little = ChildLimits { memory_bytes: 160 << 20, cpu_s: 30, ..CHILD };
    said(refused(large, engine(), little), "more than 160 MiB of memory", false);
    let medium = Guest { more: function(&sums(20_000)), ..Guest::new("medium") }.module();
    let short = ChildLimits { code_bytes: 128 << 10, cpu_s: 30, ..CHILD };
    said(refused(medium, engine(), short), "more than 128 KiB of machine code", false);
    // Not known to be the plugin's: the machine may have been busy.
    said(limited(ChildLimits { wall: Duration::from_millis(20), ..CHILD }), "within 0.02 s", true);
    for (program, words) in
        [("/nowhere/engine", "No such file"), ("/bin/false", "ended with"), ("/bin/cat", "ended with")]
    {
        said(refused(light(), program.into(), CHILD), words, true);
    }
    // One that never answers and never ends, whatever it is told.
    let folder = harness::place::folder("evil");
    let deaf = folder.path().join("deaf");
    std::fs::write(&deaf, "#!/bin/sh\nwhile :; do :; done\n").expect("a file");
    std::fs::set_permissions(&deaf, std::fs::Permissions::from_mode(0o755)).expect("executable");
    said(refused(light(), deaf, ChildLimits { wall: Duration::from_millis(200), ..CHILD }), "within 0.2 s", true);
}

/// A child at work, as the system sees it.
#[test]
fn the_child_can_open_and_start_nothing() {
    let busy = Guest { more: function(&sums(60_000)).repeat(12), ..Guest::new("busy") }.module();
    let host = host();
    std::thread::scope(|scope| {
        scope.spawn(|| host.load(busy).map(drop));
        let confined = |pid: &String| read(pid, "status").contains("Seccomp:\t2");
        let child = wait_for("a child that has confined itself", Duration::from_secs(60), || {
            children().into_iter().find(confined).ok_or("none")
        });
        assert!(read(&child, "status").contains("NoNewPrivs:\t1"));
        let environment = read(&child, "environ");
        let theirs: Vec<_> =
            environment.split_terminator('\0').filter(|it| !it.starts_with("LD_LIBRARY_PATH=")).collect();
        assert!(theirs.is_empty(), "{theirs:?}");
        let limits = read(&child, "limits");
        for (limit, value) in [
            ("Max cpu time", "3"),
            ("Max core file size", "0"),
            ("Max file size", "0"),
            ("Max address space", "1073741824"),
        ] {
            let line =
                limits.lines().find_map(|line| line.strip_prefix(limit)).unwrap_or_else(|| panic!("{limit}: {limits}"));
            assert_eq!(line.split_whitespace().next(), Some(value), "{limit}");
        }
        let files = std::fs::read_dir(format!("/proc/{child}/fd")).expect("it is there").flatten();
        let files: Vec<_> = files.filter_map(|file| std::fs::read_link(file.path()).ok()).collect();
        assert!(files.len() <= 3 && files.iter().all(|file| file.to_string_lossy().starts_with("pipe:")), "{files:?}");
        assert_eq!(std::fs::read_link(format!("/proc/{child}/cwd")).expect("it is there"), PathBuf::from("/"));
    });
}

/// The processes that this one has started, those that are there.
fn children() -> Vec<String> {
    let threads = std::fs::read_dir("/proc/self/task").expect("Linux").flatten();
    let of = |thread: std::fs::DirEntry| std::fs::read_to_string(thread.path().join("children")).unwrap_or_default();
    threads.flat_map(|thread| of(thread).split_whitespace().map(str::to_owned).collect::<Vec<_>>()).collect()
}

fn read(pid: &str, file: &str) -> String {
    std::fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default()
}

/// Bytes that are made when it is their turn: a hundred such artifacts would be most of the memory there is.
fn case(name: &'static str, bytes: impl FnOnce() -> Vec<u8> + 'static, expected: &[&'static str]) -> Case {
    let run = move |host: &Host| match host.load(bytes()) {
        Ok(_) => LOADS.to_owned(),
        Err(error) => in_words(&error),
    };
    Case { name, expected: expected.to_vec(), run: Box::new(run) }
}

fn text(component: &str) -> Vec<u8> {
    wat::parse_str(component).unwrap_or_else(|error| panic!("{error}"))
}

/// Blocks within each other, each of which ends with a jump to any of those around it.
fn br_tables_to_all(depth: usize) -> String {
    let mut body = String::new();
    for n in 0..depth {
        let targets: String = (0..=n).map(|target| format!("{target} ")).collect();
        let _ = write!(body, "(br_table {targets} (local.get 0)) end ");
    }
    format!("(func (param i32) (result i32) {} {body} local.get 0)", "block ".repeat(depth))
        .replace("(br_table", "local.get 0 br_table")
        .replace(" (local.get 0)) end", " end")
}

/// So many loads, each from where the one before it says: nothing that a compiler could leave out. 12 bytes of code each.
fn sums(count: usize) -> String {
    (0..count).fold(String::new(), |mut text, n| {
        let offset = 0x20_0000 + n % 10_000;
        let _ = write!(text, "(local.set 0 (i32.xor (local.get 0) (i32.load offset={offset} (local.get 0))))");
        text
    })
}

fn exports(count: usize) -> String {
    (0..count).fold("(func $exported)".to_owned(), |mut text, n| {
        let _ = write!(text, "(export \"e{n}\" (func $exported))");
        text
    })
}

fn imports(count: usize) -> Vec<u8> {
    let imports = (0..count).fold(String::new(), |mut text, n| {
        let _ = write!(text, "(import \"m\" \"f{n}\" (func))");
        text
    });
    text(&format!("(module {imports})"))
}

fn named_functions() -> Vec<u8> {
    let name = "n".repeat(99_000);
    let functions = (0..200).fold(String::new(), |mut text, n| {
        let _ = write!(text, "(func ${name}{n})");
        text
    });
    Guest { more: functions, ..Guest::new("names") }.module().to_vec()
}

fn custom_sections(count: usize) -> Vec<u8> {
    let mut module = b"\0asm\x01\0\0\0".to_vec();
    module.extend([0, 1, 0].repeat(count));
    module
}

fn components(depth: usize) -> String {
    format!("{}{}", "(component ".repeat(depth), ")".repeat(depth))
}

fn types_within(depth: usize) -> String {
    format!("(component {}{})", "(type (component ".repeat(depth), "))".repeat(depth))
}

/// A type of ten of another type, of ten of another, …
fn wide(depth: usize) -> String {
    let mut text = "(component (type $t0 (tuple u8 u8 u8 u8 u8 u8 u8 u8 u8 u8))".to_owned();
    for n in 1..depth {
        let _ = write!(text, "(type $t{n} (tuple {}))", format!("$t{} ", n - 1).repeat(10));
    }
    text + ")"
}

fn modules(count: usize) -> String {
    format!("(component {})", "(core module)".repeat(count))
}

fn instances(count: usize) -> String {
    format!("(component (core module $m) {})", "(core instance (instantiate $m))".repeat(count))
}

const RESOURCES: &str = "(component (type $r (resource (rep i32))) (core func $new (canon resource.new $r)))";
const UTF16: &str = r#"(component (import "f" (func $f (param "s" string))) (core module $m (memory (export "m") 1))
    (core instance $i (instantiate $m))
    (core func (canon lower (func $f) string-encoding=utf16 (memory (core memory $i "m")))))"#;

fn leb(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = u8::try_from(number & 0x7f).expect("seven bits");
        number >>= 7;
        if number == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

/// Component types within each other, deeper than any text is parsed: `component`, one declaration, which is a type, …
fn raw_types(depth: usize) -> Vec<u8> {
    let mut section = vec![1];
    section.extend([0x41, 1, 1].repeat(depth));
    section.extend([0x41, 0]);
    let mut component = b"\0asm\x0d\0\x01\0".to_vec();
    component.push(7);
    component.extend(leb(section.len()));
    component.extend(section);
    component
}

/// A section of the component's start function behind an honest component.
fn patched_start() -> Vec<u8> {
    let mut component = Guest::new("starts").component();
    component.extend([9, 3, 0, 0, 0]);
    component
}

/// Metadata of two packages that need each other.
fn circular() -> Vec<u8> {
    let whole = Guest::new("circle").module().to_vec();
    let (from, to) = (b"engine:plugin/types", b"engine:plugun/types");
    let at = whole.windows(from.len()).rposition(|it| it == from).expect("the contract's name");
    let mut damaged = whole;
    damaged[at..at + to.len()].copy_from_slice(to);
    damaged
}
