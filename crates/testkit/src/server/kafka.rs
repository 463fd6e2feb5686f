//! Apache Kafka: one node that is broker and controller (`KRaft`), in its own folder.
//!
//! A start takes some seconds, so tests that only need topics of their own share one per test
//! process ([`Kafka::shared`]); a test that stops or kills its broker starts its own. Topics are
//! never made by themselves; state topics have one partition and one replica. A killed broker's
//! session ends after 3 s (not 9), which the next start waits for.

use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;
use tokio::sync::OnceCell;

use super::process::{ServerProcess, User, command};
use super::{accepts, deps, free_port, scratch};

const START_LIMIT: Duration = Duration::from_secs(120);
const STOP_LIMIT: Duration = Duration::from_secs(60);
const START_ATTEMPTS_MAX: u32 = 3;

/// Fixed, so that a broker's folder can be formatted without asking for a random one.
const CLUSTER_ID: &str = "cGVuc3RvY2stdGVzdHMtMQ";

const LOGGING: &str = "\
status = error
appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d{ISO8601} %p %c{1} %m%n
rootLogger.level = info
rootLogger.appenderRef.out.ref = out
";

/// A broker, killed and removed when dropped.
#[derive(Debug)]
pub struct Kafka {
    port: u16,
    controller_port: u16,
    // Before the folder: the process ends first.
    process: Mutex<Option<Arc<ServerProcess>>>,
    dir: TempDir,
}

impl Kafka {
    /// Starts a broker of its own.
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// Starts a broker; `settings` go last into its `server.properties` and win.
    pub async fn start_with(settings: &[(&str, &str)]) -> Self {
        let dir = scratch::folder("kafka");
        let kafka = Self {
            port: free_port(),
            controller_port: free_port(),
            process: Mutex::new(None),
            dir,
        };
        kafka.configure(settings);
        kafka.format();
        kafka.start_again().await;
        kafka
    }

    /// Returns the broker that this test process shares, starting it at the first call. It ends
    /// with the process.
    pub async fn shared() -> &'static Self {
        static SHARED: OnceCell<Kafka> = OnceCell::const_new();
        SHARED.get_or_init(Self::start).await
    }

    /// Returns `127.0.0.1:PORT`.
    pub fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Returns the broker's port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns the process id.
    pub fn pid(&self) -> i32 {
        self.running().pid()
    }

    /// Stops the broker in order.
    pub async fn stop(&self) {
        self.running().stop(Signal::TERM, STOP_LIMIT).await;
    }

    /// Kills the broker.
    pub async fn kill9(&self) {
        self.running().stop(Signal::KILL, STOP_LIMIT).await;
    }

    /// Freezes the broker: connections stay open, nothing is answered.
    pub fn pause(&self) {
        self.running().signal(Signal::STOP);
    }

    /// Lets a paused broker go on.
    pub fn resume(&self) {
        self.running().signal(Signal::CONT);
    }

    /// Starts the stopped broker on the same data and port.
    pub async fn start_again(&self) {
        for _ in 0..START_ATTEMPTS_MAX {
            let process = Arc::new(self.spawn());
            let ready =
                async || process.has_logged("Kafka Server started") && accepts(self.port).await;
            let is_ready = process.wait_ready(START_LIMIT, ready).await;
            *self.slot() = Some(process);
            if is_ready {
                return;
            }
        }
        panic!("kafka ends while it starts:\n{}", self.log_tail());
    }

    /// Returns the end of the broker's log.
    pub fn log_tail(&self) -> String {
        self.slot().as_ref().map_or_else(String::new, |process| process.log_tail())
    }

    fn configure(&self, settings: &[(&str, &str)]) {
        let Self { port, controller_port, .. } = self;
        let data = self.path("data");
        let mut text = format!(
            "\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller_port}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={}
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
auto.create.topics.enable=false
",
            data.display()
        );
        text.extend(settings.iter().map(|(name, value)| format!("{name}={value}\n")));
        std::fs::write(self.path("server.properties"), text).expect("writing server.properties");
        std::fs::write(self.path("log4j2.properties"), LOGGING).expect("writing log4j2.properties");
    }

    /// Writes the folder's identity, as every `KRaft` node wants before its first start.
    fn format(&self) {
        let mut java = self.java();
        java.args(["kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c"]);
        java.arg(self.path("server.properties"));
        let output = java.output().expect("starting java; is it installed? see scripts/bootstrap");
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "formatting kafka's folder: {text}");
    }

    fn spawn(&self) -> ServerProcess {
        let mut java = self.java();
        java.arg("kafka.Kafka").arg(self.path("server.properties"));
        ServerProcess::spawn("kafka", java, Signal::KILL, &self.path("log"))
    }

    fn java(&self) -> Command {
        let mut java = command("java", User::Same, Signal::KILL);
        java.args(["-Xms128m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]);
        java.arg(format!(
            "-Dlog4j2.configurationFile={}",
            self.path("log4j2.properties").display()
        ));
        java.arg("-cp").arg(deps::kafka_jars().join("*"));
        java.current_dir(self.dir.path());
        java
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn running(&self) -> Arc<ServerProcess> {
        self.slot().clone().expect("invariant: start_with leaves a process")
    }

    fn slot(&self) -> MutexGuard<'_, Option<Arc<ServerProcess>>> {
        self.process.lock().expect("invariant: never poisoned")
    }
}
