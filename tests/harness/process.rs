//! A program that ends with the test.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::LazyLock;
use std::sync::mpsc::{self, Sender};
use std::thread;
use std::time::Duration;

pub use rustix::process::Signal;
use rustix::process::{Pid, kill_process};

use crate::wait::{wait_for, wait_until};

/// How long a program may take to end when it is asked to; then it is killed.
const PATIENCE: Duration = Duration::from_secs(30);
/// Lines of the log that a failing test shows.
const LAST_WORDS: usize = 15;

/// A running program. Dropping it ends the program; if the test is failing, its last words are shown.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
    ending: Ending,
}

/// Which signals end a program.
#[derive(Clone, Copy, Debug)]
pub enum Ending {
    /// `SIGTERM` asks; whatever state a `SIGKILL` leaves behind lies in the test's own folder.
    Common,
    /// `SIGINT` asks (on `SIGTERM` PostgreSQL waits for its replication connections), and what cuts it off is
    /// `SIGQUIT`: after a `SIGKILL` its shared memory would stay.
    Postgres,
}

impl Ending {
    fn ask(self) -> Signal {
        match self {
            Self::Common => Signal::TERM,
            Self::Postgres => Signal::INT,
        }
    }

    fn cut(self) -> (Signal, &'static str) {
        match self {
            Self::Common => (Signal::KILL, "KILL"),
            Self::Postgres => (Signal::QUIT, "QUIT"),
        }
    }
}

impl Process {
    /// Starts `program`; its output is added to the file `log`. Should this process end without having dropped the
    /// value, the kernel cuts the program off.
    ///
    /// # Panics
    /// When it can't be started.
    #[must_use]
    pub fn start(name: &str, program: &Command, log: &Path, ending: Ending) -> Self {
        let out = File::options().create(true).append(true).open(log).expect("log file");
        let mut command = Command::new("setpriv");
        let (_, cut) = ending.cut();
        // PDEATHSIG: run.sh asks for the signal again where it changes the user, which makes the kernel forget it.
        command.args(["--pdeathsig", cut]).env("PDEATHSIG", cut).arg(program.get_program()).args(program.get_args());
        for (key, value) in program.get_envs() {
            match value {
                Some(value) => command.env(key, value),
                None => command.env_remove(key),
            };
        }
        command.stdin(Stdio::null()).stdout(out.try_clone().expect("log file")).stderr(out);
        let child = spawn(command).unwrap_or_else(|error| panic!("{name}: {error}"));
        Self { name: name.to_owned(), child, log: log.to_owned(), ending }
    }

    /// Sends a signal. Nothing happens if the program has ended.
    pub fn signal(&mut self, signal: Signal) {
        if self.exited().is_none() {
            let pid = Pid::from_child(&self.child); // ours: it was not waited for, so its number is not used again
            kill_process(pid, signal).unwrap_or_else(|error| panic!("{}: {error}", self.name));
        }
    }

    /// How it ended, if it has.
    ///
    /// # Panics
    /// When the system can't tell.
    pub fn exited(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("own child")
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When it goes on for longer than `bound`.
    pub fn wait(&mut self, bound: Duration) -> ExitStatus {
        let what = format!("end of {}", self.name);
        wait_for(&what, bound, || self.exited().ok_or("it runs"))
    }

    /// Waits until it answers.
    ///
    /// # Panics
    /// When it does not within `bound`, or ends.
    pub fn wait_until_up(&mut self, bound: Duration, mut answers: impl FnMut() -> bool) {
        let what = format!("{} to answer", self.name);
        wait_until(&what, bound, || {
            if let Some(status) = self.exited() {
                panic!("{} ended: {status}", self.name);
            }
            answers()
        });
    }

    /// Asks it to end, and waits for that.
    ///
    /// # Panics
    /// When it goes on for longer than half a minute.
    pub fn stop(&mut self) -> ExitStatus {
        self.signal(self.ending.ask());
        self.wait(PATIENCE)
    }

    /// Ends it as a power cut would: `SIGKILL`.
    pub fn kill(&mut self) {
        self.signal(Signal::KILL);
        self.wait(PATIENCE);
    }

    /// The most memory that it has had, in bytes.
    ///
    /// # Panics
    /// When it does not run any more.
    #[must_use]
    pub fn most_memory(&self) -> usize {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("it runs");
        let kib: usize = line.trim().trim_end_matches(" kB").parse().expect("a number");
        kib * 1024
    }

    /// CPU time of all its threads so far, user and system, in steps of 10 ms.
    ///
    /// # Panics
    /// When it does not run any more.
    #[must_use]
    pub fn cpu_time(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).expect("it runs");
        // The name in brackets may hold anything; behind it stand proc(5)'s third and following fields.
        let (_, fields) = stat.rsplit_once(')').expect("a name in brackets");
        let ticks = fields.split_whitespace().skip(11).take(2).map(|field| field.parse::<u64>().expect("ticks"));
        Duration::from_millis(ticks.sum::<u64>() * 10)
    }

    /// All that it has printed.
    #[must_use]
    pub fn output(&self) -> String {
        let bytes = fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if thread::panicking() {
            let output = self.output();
            let lines: Vec<_> = output.lines().collect();
            let last = &lines[lines.len().saturating_sub(LAST_WORDS)..];
            eprintln!("---- last words of {} ----\n{}\n----", self.name, last.join("\n"));
        }
        let (cut, _) = self.ending.cut();
        self.signal(cut); // nobody needs an end in good order any more
        let _ = self.child.wait();
    }
}

/// Spawns from a thread that lasts as long as the process: the kernel's parent-death signal comes at the end of the
/// *thread* that spawned, and a test's thread ends before a part that several tests share.
fn spawn(command: Command) -> io::Result<Child> {
    type Order = (Command, Sender<io::Result<Child>>);
    static SPAWNER: LazyLock<Sender<Order>> = LazyLock::new(|| {
        let (orders, inbox) = mpsc::channel::<Order>();
        thread::spawn(move || {
            for (mut command, answer) in inbox {
                let _ = answer.send(command.spawn());
            }
        });
        orders
    });
    let (answer, result) = mpsc::channel();
    SPAWNER.send((command, answer)).expect("the spawner never ends");
    result.recv().expect("the spawner answers")
}
