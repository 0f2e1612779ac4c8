//! The child that runs arrow-udf and JSON per record: another process, because it brings its own Arrow and wasmtime.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use arrow_array::RecordBatch;
use arrow_ipc::writer::FileWriter;

use crate::Failure;

pub(crate) struct Foreign {
    child: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
    _folder: tempfile::TempDir,
}

impl Foreign {
    /// Starts it with a batch, which it runs over `calls` times for each question.
    pub(crate) fn start(host: &Path, guest: &Path, batch: &RecordBatch, calls: u32) -> Result<Self, Failure> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("batch.arrow");
        let mut writer = FileWriter::try_new(std::fs::File::create(&file)?, &batch.schema())?;
        writer.write(batch)?;
        writer.finish()?;
        let mut command = Command::new(host);
        command.arg(guest).arg(&file).arg(calls.to_string()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(|error| format!("{}: {error}", host.display()))?;
        let questions = child.stdin.take().ok_or("no standard input")?;
        let answers = BufReader::new(child.stdout.take().ok_or("no standard output")?);
        Ok(Self { child, questions, answers, _folder: folder })
    }

    /// CPU nanoseconds of a batch: the function, which lets `rows` of `all` through, the echo, JSON per record.
    pub(crate) fn round(&mut self, rows: usize, all: usize) -> Result<[f64; 3], Failure> {
        Ok([self.ask("clean", rows)?, self.ask("echo", all)?, self.ask("json", rows)?])
    }

    fn ask(&mut self, question: &str, rows: usize) -> Result<f64, Failure> {
        writeln!(self.questions, "{question}")?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer)?;
        let (ns, came_out) = answer.trim().split_once(' ').ok_or("the child has ended: see its error above")?;
        if came_out.parse() != Ok(rows) {
            return Err(format!("{question}: {came_out} rows came out, right is {rows}").into());
        }
        Ok(ns.parse()?)
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        // It ends with its input; killed, it ends in any case.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
