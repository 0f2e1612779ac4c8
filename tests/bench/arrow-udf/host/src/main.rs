//! The host's half of the comparison, a child of the benchmark `border`: it reads a batch from an Arrow IPC file, then
//! for each line of its input (`clean`, `echo` or `json`) runs that a number of times and answers with the CPU
//! nanoseconds of one run over the whole batch and the rows that came out. So both sides are measured in turn.
//!
//! ```text
//! arrow-udf-host GUEST.wasm BATCH.arrow CALLS
//! ```

use std::fs::File;
use std::io::{BufRead, Write};

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_array::types::{Decimal128Type, Int32Type, Int64Type};
use arrow_array::Array;
use arrow_schema::{DataType, Field};
use arrow_udf_runtime::wasm::Runtime;
use serde::Serialize;
use wasmtime::{Engine, Linker, Memory, Module, Store, TypedFunc};

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [guest, batch, calls] = &arguments[..] else { return Err("GUEST.wasm BATCH.arrow CALLS".into()) };
    let guest = std::fs::read(guest)?;
    let calls: u32 = calls.parse()?;
    let batch = arrow_ipc::reader::FileReader::try_new(File::open(batch)?, None)?.next().ok_or("an empty file")??;

    let runtime = Runtime::new(&guest)?;
    let function = |name| runtime.find_function(name, Vec::<Field>::new(), DataType::Boolean);
    let (clean, echo) = (function("clean")?, function("echo")?);
    let records = records(&batch)?;
    let mut json = Json::new(&guest)?;

    for line in std::io::stdin().lock().lines() {
        let start = cpu_ns();
        let mut rows = 0;
        for _ in 0..calls {
            rows = match line.as_deref() {
                Ok("clean") => runtime.call(&clean, &batch)?.num_rows(),
                Ok("echo") => runtime.call(&echo, &batch)?.num_rows(),
                Ok("json") => json.run(&records)?,
                other => return Err(format!("clean, echo or json, not {other:?}").into()),
            };
        }
        println!("{} {rows}", (cpu_ns() - start) / f64::from(calls));
        std::io::stdout().flush()?;
    }
    Ok(())
}

/// CPU time of this thread.
fn cpu_ns() -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a live value of the type that clock_gettime(2) writes.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}

#[derive(Serialize)]
struct Record<'a> {
    id: i64,
    customer_id: i64,
    order_number: &'a str,
    email: &'a str,
    status: &'a str,
    note: Option<&'a str>,
    quantity: i32,
    price: String,
    created_at: &'a str,
    country: &'a str,
}

/// The rows as JSON. Made before the measurement: a broker has its records as bytes.
fn records(batch: &RecordBatch) -> Result<Vec<Vec<u8>>, Failure> {
    let text = |column: usize, row| batch.column(column).as_string::<i32>().value(row);
    let number = |column: usize, row| batch.column(column).as_primitive::<Int64Type>().value(row);
    let record = |row| {
        let price = batch.column(7).as_primitive::<Decimal128Type>().value(row);
        Record {
            id: number(0, row),
            customer_id: number(1, row),
            order_number: text(2, row),
            email: text(3, row),
            status: text(4, row),
            note: batch.column(5).is_valid(row).then(|| text(5, row)),
            quantity: batch.column(6).as_primitive::<Int32Type>().value(row),
            price: format!("{}.{:02}", price / 100, price % 100),
            created_at: text(8, row),
            country: text(9, row),
        }
    };
    (0..batch.num_rows()).map(|row| Ok(serde_json::to_vec(&record(row))?)).collect()
}

/// A module that transforms a record a call, in a sandbox without limits.
struct Json {
    store: Store<()>,
    memory: Memory,
    record: TypedFunc<(u32, u32), u64>,
    /// Where records are written to, and how many bytes fit.
    input: (u32, usize),
    out: Vec<u8>,
}

impl Json {
    const ROOM: u32 = 64 << 10;

    fn new(guest: &[u8]) -> Result<Self, Failure> {
        let engine = Engine::default();
        let mut store = Store::new(&engine, ());
        let instance = Linker::new(&engine).instantiate(&mut store, &Module::new(&engine, guest)?)?;
        let alloc = instance.get_typed_func::<(u32, u32), u32>(&mut store, "alloc")?;
        let input = alloc.call(&mut store, (Self::ROOM, 8))?;
        let record = instance.get_typed_func(&mut store, "json_record")?;
        let memory = instance.get_memory(&mut store, "memory").ok_or("no memory")?;
        Ok(Self { store, memory, record, input: (input, Self::ROOM as usize), out: Vec::new() })
    }

    /// Records that came out.
    fn run(&mut self, records: &[Vec<u8>]) -> Result<usize, Failure> {
        let mut came_out = 0;
        for record in records {
            assert!(record.len() <= self.input.1, "the benchmark's records are small");
            self.memory.write(&mut self.store, self.input.0 as usize, record)?;
            let answer = self.record.call(&mut self.store, (self.input.0, u32::try_from(record.len())?))?;
            if answer != 0 {
                let (at, len) = ((answer >> 32) as usize, (answer & 0xffff_ffff) as usize);
                let bytes = self.memory.data(&self.store).get(at..at + len).ok_or("an answer outside of memory")?;
                self.out.clear();
                self.out.extend_from_slice(bytes);
                std::hint::black_box(&self.out);
                came_out += 1;
            }
        }
        Ok(came_out)
    }
}
