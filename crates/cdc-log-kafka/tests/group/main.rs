//! What only whole processes can show of a consumer group: replicas of a projection on one shared
//! store that join, are killed, are frozen beyond the group's patience and thaw, and leave. The
//! program starts itself again for each replica.

mod replica;
mod store;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use cdc_log_kafka::{KafkaConfig, KafkaLog};
use cdc_model::{Headers, Placement, Record, Topic};
use cdc_pipeline::port::{AppendBatch, LogReader, LogWriter};
use rustix::process::{Pid, Signal, kill_process};
use testkit::server::kafka::Kafka;
use testkit::server::until;

use store::{Contents, Store};

pub(crate) const PATIENCE: Duration = Duration::from_secs(120);
pub(crate) const GROUP: &str = "projection";
pub(crate) const PREFIX: &str = "shop.";
const TOPIC: &str = "shop.orders";
const PARTITIONS: i32 = 8;

fn main() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let args: Vec<String> = std::env::args().collect();
    match &args.iter().map(String::as_str).collect::<Vec<_>>()[1..] {
        ["replica", servers, dir, name] => {
            runtime.block_on(replica::run(servers, Path::new(dir), name));
        }
        _ => runtime.block_on(partitions_are_handed_over_without_loss_or_doubling()),
    }
}

pub(crate) fn config(servers: &str) -> KafkaConfig {
    let mut config = KafkaConfig::new(servers);
    config.partitions = PARTITIONS;
    for (name, value) in [("session.timeout.ms", "3000"), ("heartbeat.interval.ms", "300")] {
        config.consumer_properties.insert(name.to_owned(), value.to_owned());
    }
    config
}

pub(crate) fn report(line: &str) {
    let mut out = std::io::stdout();
    out.write_all(format!("{line}\n").as_bytes()).expect("prints");
    out.flush().expect("prints");
}

/// A replica's process; killed when dropped.
struct Replica {
    process: Child,
    said: Arc<Mutex<Vec<String>>>,
}

impl Replica {
    fn start(servers: &str, dir: &Path, name: &str) -> Self {
        let program = std::env::current_exe().expect("knows itself");
        let mut command = Command::new(program);
        command.args(["replica", servers]).arg(dir).arg(name);
        let spawned = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut process = spawned.expect("starts");
        let lines = BufReader::new(process.stdout.take().expect("is piped")).lines();
        let said = Arc::new(Mutex::new(Vec::new()));
        let heard = said.clone();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                heard.lock().expect("not poisoned").push(line);
            }
        });
        Self { process, said }
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.process);
        kill_process(pid, signal).expect("is signalled");
    }

    /// How often it said what begins with `line`.
    fn said(&self, line: &str) -> usize {
        let said = self.said.lock().expect("not poisoned");
        said.iter().filter(|said| said.starts_with(line)).count()
    }

    async fn leave(mut self) {
        drop(self.process.stdin.take());
        until("it drains", PATIENCE, async || self.said("ended Ok") > 0).await;
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// Appends until it is told to stop.
async fn load(log: &KafkaLog, appended: &AtomicU64, stop: &AtomicBool) {
    let mut writer = log.writer("load", "s");
    writer.open().await.expect("opens");
    let mut pace = tokio::time::interval(Duration::from_millis(40));
    while !stop.load(Ordering::Relaxed) {
        let first = appended.load(Ordering::Relaxed);
        let record = |number: u64| Record {
            topic: Topic::new(TOPIC),
            placement: Placement::ByKey,
            key: Some(Bytes::from(format!("customer {}", number % 500))),
            value: Some(Bytes::from(number.to_string())),
            headers: Headers::new(),
            id: None,
        };
        let records = (first..first + 4).map(record).collect();
        writer.append(AppendBatch { records, update: None }.into()).await.expect("appends");
        appended.store(first + 4, Ordering::Relaxed);
        pace.tick().await;
    }
}

/// Waits until the partitions are divided up as `is_so` says.
async fn dealt(store: &Store, what: &str, is_so: impl Fn(&BTreeMap<&str, usize>) -> bool) {
    until(what, PATIENCE, async || is_so(&store.read().owners())).await;
    report(&format!("{what}: {:?}", store.read().owners()));
}

/// Waits until each partition has more rows than it has now.
async fn flows(store: &Store, what: &str) {
    let count = |contents: &Contents| -> BTreeMap<(String, i32), usize> {
        contents.partitions.iter().map(|(key, stored)| (key.clone(), stored.rows.len())).collect()
    };
    let before = count(&store.read());
    let has_more = |now: &BTreeMap<_, usize>| before.iter().all(|(key, rows)| now[key] > *rows);
    until(what, PATIENCE, async || has_more(&count(&store.read()))).await;
}

fn all(owners: &BTreeMap<&str, usize>, names: &[&str], each: usize) -> bool {
    owners.len() == names.len() && names.iter().all(|name| owners.get(name) >= Some(&each))
}

async fn partitions_are_handed_over_without_loss_or_doubling() {
    let kafka = Kafka::start_with(&[("group.min.session.timeout.ms", "1000")]).await;
    let (servers, dir) = (kafka.bootstrap(), tempfile::tempdir().expect("a folder"));
    let (log, store) = (KafkaLog::new(config(&servers)).expect("settings"), Store::new(dir.path()));
    let (appended, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    let play = async {
        until("the topic is there", PATIENCE, async || appended.load(Ordering::Relaxed) > 0).await;
        let start = |name| Replica::start(&servers, dir.path(), name);
        let a = start("a");
        dealt(&store, "one has all", |owners| owners.get("a") == Some(&8)).await;
        let b = start("b");
        dealt(&store, "two share", |owners| all(owners, &["a", "b"], 3)).await;
        let c = start("fixed-c");
        dealt(&store, "three share", |owners| all(owners, &["a", "b", "fixed-c"], 2)).await;
        flows(&store, "with three, every partition flows").await;

        b.signal(Signal::KILL);
        dealt(&store, "one is killed", |owners| all(owners, &["a", "fixed-c"], 3)).await;
        flows(&store, "after a kill, every partition flows").await;

        // An apply that has begun, frozen until its partitions are another's.
        std::fs::write(store.stall("fixed-c"), "").expect("writes");
        until("an apply has begun", PATIENCE, async || c.said("stalled") > 0).await;
        c.signal(Signal::STOP);
        std::fs::remove_file(store.stall("fixed-c")).expect("removes");
        dealt(&store, "one is frozen", |owners| owners.get("a") == Some(&8)).await;
        flows(&store, "past the frozen one, every partition flows").await;
        let refused = c.said("refused");
        c.signal(Signal::CONT);
        until("what thaws is refused", PATIENCE, async || c.said("refused") > refused).await;
        dealt(&store, "it has thawed", |owners| all(owners, &["a", "fixed-c"], 3)).await;

        a.leave().await;
        dealt(&store, "one has left", |owners| owners.get("fixed-c") == Some(&8)).await;
        flows(&store, "with the last, every partition flows").await;
        stop.store(true, Ordering::Relaxed);
        (b, c)
    };
    let ((_b, c), ()) = tokio::join!(play, load(&log, &appended, &stop));
    let expected = values(&log).await;
    until("all is applied", PATIENCE, async || applied(&store).1 >= expected.len()).await;
    c.leave().await;
    let (found, count) = applied(&store);
    assert_eq!(count, expected.len(), "each record once");
    assert_eq!(found, expected, "in the order of its partition");
    report(&format!("{count} records, each applied once and in order: ok"));
}

type Values = BTreeMap<(i32, i64), String>;

/// What the store was told, and how many records that were.
fn applied(store: &Store) -> (Values, usize) {
    let (mut found, mut count) = (Values::new(), 0);
    for ((_, index), stored) in store.read().partitions {
        assert!(stored.rows.is_sorted_by(|a, b| a.0 < b.0), "order in partition {index}");
        count += stored.rows.len();
        found.extend(stored.rows.into_iter().map(|(offset, value, _)| ((index, offset), value)));
    }
    (found, count)
}

/// What the log holds.
async fn values(log: &KafkaLog) -> Values {
    let mut reader = log.reader();
    let topics = reader.topics().await.expect("lists");
    let meta = topics.into_iter().find(|meta| meta.topic.as_str() == TOPIC).expect("the topic");
    let ends: Vec<_> = meta.topic_partitions().zip(&meta.partitions).collect();
    let from = ends.iter().map(|(at, (first, _))| (at.clone(), *first)).collect();
    reader.assign(from).await.expect("assigns");
    let mut open: Vec<_> = ends.into_iter().map(|(at, (_, end))| (at, *end)).collect();
    let mut values = Values::new();
    while !open.is_empty() {
        let fetched = reader.poll(1 << 20).await.expect("polls");
        for record in fetched.records {
            let value = String::from_utf8(record.value.unwrap_or_default().to_vec());
            values.insert((record.source.partition.0, record.offset.0), value.expect("text"));
        }
        for (at, next) in fetched.next {
            open.retain(|(partition, end)| *partition != at || next < *end);
        }
    }
    values
}
