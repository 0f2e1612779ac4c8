//! Versions of one small plugin, good and bad: it passes the numbers `n` of Debezium envelopes on to a table `passed`, and
//! counts them where it is to.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::simulation::guest::{input_column, output, output_column, plugin};

/// A version of the plugin.
#[derive(Clone, Debug)]
pub struct Version {
    /// What its author calls it.
    pub says: String,
    /// What it does with its rows.
    pub does: Does,
    /// How the rows of its table add up: `append`, or `current`.
    pub kind: &'static str,
    /// Whether it keeps a count of all rows of a lane. Then each row has it in the column `seen`: wherever something of the
    /// state was lost, came twice or was not taken back, that is another number than the row's place in its partition.
    pub counts: bool,
    /// The version of its state; without a count it keeps nothing there.
    pub state: u32,
    /// Older versions of the state that it reads.
    pub reads: Vec<u32>,
    /// The type of the numbers.
    pub number: &'static str,
    /// Another column of the table: a copy of the number.
    pub copy: Option<&'static str>,
}

/// What a version does with its rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Does {
    /// It passes them on.
    Passes,
    /// It traps.
    Traps,
    /// It traps on this number, and passes on all others.
    TrapsAt(i64),
    /// It never ends.
    Loops,
    /// It wants ever more memory.
    Hogs,
    /// It rejects all.
    Rejects,
}

impl Version {
    /// A good one.
    #[must_use]
    pub fn new(says: &str) -> Self {
        Self {
            says: says.to_owned(),
            does: Does::Passes,
            kind: "append",
            counts: false,
            state: 1,
            reads: vec![],
            number: "int64",
            copy: None,
        }
    }

    /// One that does this.
    #[must_use]
    pub fn that(says: &str, does: Does) -> Self {
        Self { does, ..Self::new(says) }
    }

    /// The file.
    ///
    /// # Panics
    /// If it can't be made: the text is fixed.
    #[must_use]
    pub fn wasm(&self) -> Bytes {
        const TEXT: &str = r#"(data (i32.const 512) "unwanted")"#;
        plugin(&self.description(), &self.process(), "(unreachable)", TEXT)
    }

    fn description(&self) -> Value {
        let taken = |name: &str| output_column(name, &json!({ "input": 0 }));
        let mut columns: Vec<_> = [Some("n"), self.copy].into_iter().flatten().map(taken).collect();
        columns.extend(self.counts.then(|| output_column("seen", &json!("made"))));
        let sort_key: &[&str] = if self.kind == "current" { &["n"] } else { &[] };
        let mut description = json!({
            "name": "passing", "version": self.says,
            "input": { "columns": [input_column("n", true)], "format": "envelope" },
            "outputs": [output("passed", self.kind, &columns, sort_key)],
            "parameters": [],
            "state": {
                "version": self.state, "reads": self.reads,
                "tables": [{ "name": "nothing", "on-expire": "drop" }],
            },
            "event-time": null,
        });
        let output = |index: usize| format!("/outputs/0/columns/{index}/column/data-type");
        let taken =
            [Some("/input/columns/0/column/data-type".to_owned()), Some(output(0)), self.copy.map(|_| output(1))];
        for place in taken.into_iter().flatten() {
            *description.pointer_mut(&place).expect("a column") = json!({ "scalar": self.number });
        }
        description
    }

    fn process(&self) -> String {
        const EMIT: &str =
            "(call $emit (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)
            (i32.const 0) (i32.const 0)) (i32.const 16)";
        const LOCALS: &str = "(local $at i32) (local $end i32) (local $list i32) (local $n i64)";
        let passes = if self.counts { COUNT } else { EMIT };
        match self.does {
            Does::Passes => format!("{LOCALS} {passes}"),
            Does::Traps => "(unreachable)".to_owned(),
            Does::Loops => "(loop $ever (br $ever)) (unreachable)".to_owned(),
            Does::Hogs => {
                "(loop $ever (br_if $ever (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))) (unreachable)"
                    .to_owned()
            }
            Does::Rejects => REJECT.to_owned(),
            // Buffers of a column: validity and values, each an address and a length.
            Does::TrapsAt(number) => format!(
                "{LOCALS}
                (local.set $at (i32.load offset=8 (local.get $buffers)))
                (local.set $end (i32.add (local.get $at) (i32.mul (local.get $rows) (i32.const 8))))
                (block $done (loop $next
                    (br_if $done (i32.ge_u (local.get $at) (local.get $end)))
                    (if (i64.eq (i64.load (local.get $at)) (i64.const {number})) (then (unreachable)))
                    (local.set $at (i32.add (local.get $at) (i32.const 8)))
                    (br $next)))
                {passes}"
            ),
        }
    }
}

/// The count, which is kept under a key of 8 zeros (at 128), goes up by one with each row, and into the column `seen`. What
/// the host gives back goes to the zeros at 64.
const COUNT: &str = "
    (call $get (i32.const 0) (i32.const 0) (i32.const 8) (i32.const 128) (i32.const 8) (i32.const 0) (i32.const 64))
    (if (i32.load8_u (i32.load (i32.const 64))) (then (local.set $n (i64.load (i32.load (i32.const 80))))))
    (local.set $list (call $alloc (i32.const 8) (i32.mul (local.get $rows) (i32.const 8))))
    (local.set $at (local.get $list))
    (local.set $end (i32.add (local.get $at) (i32.mul (local.get $rows) (i32.const 8))))
    (block $done (loop $next
        (br_if $done (i32.ge_u (local.get $at) (local.get $end)))
        (local.set $n (i64.add (local.get $n) (i64.const 1)))
        (i64.store (local.get $at) (local.get $n))
        (local.set $at (i32.add (local.get $at) (i32.const 8)))
        (br $next)))
    (local.set $at (call $alloc (i32.const 8) (i32.const 32)))
    (i64.store (local.get $at) (local.get $n))
    (call $put (i32.const 0) (i32.const 0) (i32.const 8) (i32.const 128) (i32.const 8) (i32.const 0)
        (i32.const 0) (i32.const 8) (local.get $at) (i32.const 8) (i32.const 0) (i32.const 0) (i32.const 0))
    ;; Two buffers: no validity, and the values.
    (i64.store (local.get $at) (i64.const 0))
    (i32.store offset=8 (local.get $at) (local.get $list))
    (i32.store offset=12 (local.get $at) (i32.mul (local.get $rows) (i32.const 8)))
    (call $emit (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)
        (local.get $at) (i32.const 2)) (i32.const 16)";

/// A record for each row: its index, code and reason, both the same text.
const REJECT: &str = "(local $list i32) (local $at i32) (local $row i32) (local $answer i32)
    (local.set $answer (call $alloc (i32.const 4) (i32.const 12)))
    (local.set $list (call $alloc (i32.const 4) (i32.mul (local.get $rows) (i32.const 20))))
    (local.set $at (local.get $list))
    (block $done (loop $next
        (br_if $done (i32.ge_u (local.get $row) (local.get $rows)))
        (i32.store (local.get $at) (local.get $row))
        (i32.store offset=4 (local.get $at) (i32.const 512))
        (i32.store offset=8 (local.get $at) (i32.const 8))
        (i32.store offset=12 (local.get $at) (i32.const 512))
        (i32.store offset=16 (local.get $at) (i32.const 8))
        (local.set $at (i32.add (local.get $at) (i32.const 20)))
        (local.set $row (i32.add (local.get $row) (i32.const 1)))
        (br $next)))
    (i32.store (local.get $answer) (i32.const 0))
    (i32.store offset=4 (local.get $answer) (local.get $list))
    (i32.store offset=8 (local.get $answer) (local.get $rows))
    (local.get $answer)";

/// A module with so many bytes of code, of functions that do nothing.
#[must_use]
pub fn much_code(bytes: usize) -> Vec<u8> {
    const BODY: usize = 64 << 10;
    let mut function = leb(BODY + 2);
    function.push(0); // no locals
    function.extend(std::iter::repeat_n(0x01, BODY)); // nop
    function.push(0x0b);
    let count = bytes.div_ceil(BODY);
    let mut module = b"\0asm\x01\0\0\0".to_vec();
    module.extend([1, 4, 1, 0x60, 0, 0]); // one type: no parameters, no results
    section(&mut module, 3, &[leb(count), vec![0; count]].concat());
    section(&mut module, 10, &[leb(count), function.repeat(count)].concat());
    module
}

fn section(module: &mut Vec<u8>, id: u8, content: &[u8]) {
    module.push(id);
    module.extend(leb(content.len()));
    module.extend(content);
}

fn leb(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = u8::try_from(number & 0x7f).expect("seven bits");
        number >>= 7;
        bytes.push(if number > 0 { low | 0x80 } else { low });
        if number == 0 {
            return bytes;
        }
    }
}
