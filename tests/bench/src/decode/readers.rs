//! The child that runs the other readers: another process, so that each is built as its authors mean it.

use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use super::data::Topic;
use crate::Failure;

/// Their names.
pub(crate) const ALL: [&str; 3] = ["serde_json", "simd_json", "arrow_json"];

pub(crate) struct Readers {
    child: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
    _folder: tempfile::TempDir,
}

impl Readers {
    /// Starts it with the messages of all topics in JSON, one a line.
    pub(crate) fn start(program: &Path, topics: &[Topic]) -> Result<Self, Failure> {
        let folder = tempfile::tempdir()?;
        for topic in topics.iter().filter(|topic| topic.is_json) {
            let file = std::fs::File::create(folder.path().join(format!("{}.jsonl", topic.name)))?;
            let mut file = BufWriter::new(file);
            for value in topic.messages.iter().filter_map(|message| message.value.as_ref()) {
                file.write_all(value)?;
                file.write_all(b"\n")?;
            }
            file.flush()?;
        }
        let mut command = Command::new(program);
        command.arg(folder.path()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(|error| format!("{}: {error}", program.display()))?;
        let questions = child.stdin.take().ok_or("no standard input")?;
        let answers = BufReader::new(child.stdout.take().ok_or("no standard output")?);
        Ok(Self { child, questions, answers, _folder: folder })
    }

    /// CPU nanoseconds of one reader's pass over a topic.
    pub(crate) fn pass(&mut self, reader: &str, topic: &Topic) -> Result<f64, Failure> {
        writeln!(self.questions, "{reader} {}", topic.name)?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer)?;
        let (ns, read) = answer.trim().split_once(' ').ok_or("the child has ended: see its error above")?;
        if read.parse() != Ok(topic.messages.len()) {
            return Err(format!("{reader} read {read} messages of {}", topic.messages.len()).into());
        }
        Ok(ns.parse()?)
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        // It ends with its input; killed, it ends in any case.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
