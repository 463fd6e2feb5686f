//! What only whole processes can show: kill -9 in the middle of appends, a disk that fills up, a
//! directory that another process holds. The program starts itself again for the other process.

mod child;

use std::io::{BufRead, BufReader, Lines, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use cdc_log_local::{LocalLog, LocalLogConfig};
use cdc_model::Topic;
use cdc_pipeline::Classify;
use cdc_pipeline::port::LogWriter;

/// How often the appending process is killed.
const KILLS: u64 = 12;

fn main() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let args: Vec<String> = std::env::args().collect();
    match &args.iter().map(String::as_str).collect::<Vec<_>>()[1..] {
        ["child", "append", dir] => runtime.block_on(child::append_for_ever(Path::new(dir))),
        ["child", "hold", dir] => child::hold(Path::new(dir)),
        ["child", "fill", dir] => runtime.block_on(child::fill(Path::new(dir))),
        _ => {
            a_directory_held_by_another_process_is_refused();
            runtime.block_on(nothing_is_lost_by_kill_9());
            a_full_disk_is_survived();
        }
    }
}

fn report(line: &str) {
    let mut out = std::io::stdout();
    out.write_all(line.as_bytes()).and_then(|()| out.write_all(b"\n")).expect("prints");
    out.flush().expect("prints");
}

struct Other {
    process: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Other {
    fn start(role: &str, dir: &Path) -> Self {
        let program = std::env::current_exe().expect("knows itself");
        Self::run(Command::new(program).args(["child", role]).arg(dir))
    }

    fn run(command: &mut Command) -> Self {
        let spawned = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut process = spawned.expect("starts");
        let out = process.stdout.take().expect("is piped");
        Self { process, lines: BufReader::new(out).lines() }
    }

    fn line(&mut self) -> Option<String> {
        self.lines.next().map(|line| line.expect("is readable"))
    }

    /// Kills it, and returns what it still had said.
    fn kill(mut self) -> Vec<String> {
        self.process.kill().expect("is killed");
        self.process.wait().expect("ends");
        self.lines.map(|line| line.expect("is readable")).collect()
    }
}

fn a_directory_held_by_another_process_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut other = Other::start("hold", dir.path());
    assert_eq!(other.line().as_deref(), Some("held"));
    let error = LocalLog::open(dir.path(), LocalLogConfig::default()).expect_err("is held");
    assert_eq!(error.code(), Some("DATA_DIR_LOCKED"));
    assert!(error.to_string().contains(&format!("process {}", other.process.id())), "{error}");
    other.kill();
    LocalLog::open(dir.path(), LocalLogConfig::default()).expect("is free again");
    report("a directory held by another process is refused: ok");
}

async fn nothing_is_lost_by_kill_9() {
    let dir = tempfile::tempdir().expect("a directory");
    for kill in 0..KILLS {
        let mut other = Other::start("append", dir.path());
        let mut answered = None;
        for _ in 0..=kill * 7 % 41 {
            answered = other.line();
        }
        let rest = other.kill();
        // The last line may have been cut by the kill.
        let whole = rest.iter().rev().nth(1).cloned().or(answered).expect("appended something");
        check(dir.path(), whole.parse().expect("is a number")).await;
    }
    report(&format!("nothing is lost by {KILLS} × kill -9: ok"));
}

/// Every append answered is there, and of the one in flight all or nothing.
async fn check(dir: &Path, answered: u64) {
    let log = LocalLog::open(dir, child::config()).expect("opens");
    let checkpoint = log.writer("p", "i").open().await.expect("opens").expect("was appended to");
    assert!(checkpoint.sequence >= answered, "{} < {answered}", checkpoint.sequence);
    let position = checkpoint.position.expect("has a position");
    assert_eq!(position.as_bytes(), checkpoint.sequence.to_be_bytes());
    let entry = checkpoint.entries.get("last").expect("has an entry");
    assert_eq!(entry[..], checkpoint.sequence.to_be_bytes());
    for topic in child::TOPICS {
        let mut expected = Vec::new();
        for sequence in 1..=checkpoint.sequence {
            let records = child::records(sequence).into_iter();
            expected.extend(records.filter(|r| r.topic.as_str() == topic).map(|r| r.value));
        }
        let read = child::read_all(&log, &Topic::new(topic)).await;
        assert!(read == expected, "{topic}: {} records, not {}", read.len(), expected.len());
    }
}

fn a_full_disk_is_survived() {
    let dir = tempfile::tempdir().expect("a directory");
    // A mount namespace of its own: nothing is left behind, whatever happens.
    let script = "mount -t tmpfs -o size=24m tmpfs \"$1\" && exec \"$0\" child fill \"$1\"";
    let program = std::env::current_exe().expect("knows itself");
    let mut unshare = Command::new("unshare");
    let probe = Command::new("unshare").args(["-rm", "true"]).output();
    if !probe.is_ok_and(|probe| probe.status.success()) {
        report("a full disk is survived: NOT TESTED, this system permits no mount namespaces");
        return;
    }
    let command = unshare.args(["-rm", "sh", "-c", script]).arg(program).arg(dir.path());
    let mut other = Other::run(command);
    while let Some(line) = other.line() {
        report(&format!("  {line}"));
    }
    assert!(other.process.wait().expect("ends").success(), "the disk's filling went wrong");
    report("a full disk is survived: ok");
}
