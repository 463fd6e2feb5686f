//! The thread that owns a transactional producer. Everything the client library does by blocking
//! happens here; whoever asks waits on a channel.
//!
//! A producer serves one life of a writer: from `init_transactions`, which fences all before it,
//! to the first error. It is never reused after one, and dropped on this thread, so that nobody
//! waits for that.
//!
//! # Draining
//! `commit_transaction` of the Rust binding serves delivery reports in steps of 100 ms, and so does
//! its `poll`, which returns only when its time is over. So deliveries are drained first, by
//! polling without waiting and looking at what is still in flight; successes send no report.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use cdc_model::{Record, Topic};
use cdc_pipeline::partition::place;
use cdc_pipeline::port::AppendBatch;
use rdkafka::error::KafkaError;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _, PurgeConfig};
use rdkafka::types::RDKafkaErrorCode as Code;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::checkpoint::KeyValue;
use crate::code::{Kind, kind};
use crate::context::Context;
use crate::identity::IdentityText;
use crate::{Error, KafkaConfig, Result};

/// How long a blocking call of the client may take before we look whether we are still wanted.
const SLICE: Duration = Duration::from_millis(500);
/// Bounds of the pause between two looks at what is in flight.
const PAUSE: (Duration, Duration) = (Duration::from_micros(50), Duration::from_micros(400));

/// What one transaction appends.
pub(crate) struct Job {
    pub(crate) batch: Arc<AppendBatch>,
    /// The number of partitions of each topic of the batch.
    pub(crate) partitions: Arc<BTreeMap<Topic, i32>>,
    /// Records for the position topic.
    pub(crate) checkpoint: Option<(Topic, Vec<KeyValue>)>,
}

/// Who a producer is.
pub(crate) struct Name {
    pub(crate) transactional_id: Arc<str>,
    pub(crate) incarnation: Arc<str>,
}

/// Handle of the thread. Dropping it stops the thread soon, and does not wait for that.
pub(crate) struct Producer {
    jobs: mpsc::Sender<(Job, oneshot::Sender<Result<()>>)>,
    is_abandoned: Arc<AtomicBool>,
}

impl Producer {
    /// Starts a producer and fences every earlier one of that name.
    pub(crate) async fn start(config: &Arc<KafkaConfig>, name: Name) -> Result<Self> {
        let (jobs, queue) = mpsc::channel(1);
        let is_abandoned = Arc::new(AtomicBool::new(false));
        let this = Self { jobs, is_abandoned: Arc::clone(&is_abandoned) };
        let (ready, is_ready) = oneshot::channel();
        let config = Arc::clone(config);
        let spawned = thread::Builder::new()
            .name("kafka-producer".to_owned())
            .spawn(move || serve(config, name, is_abandoned, ready, queue));
        spawned.map_err(|source| Error::Unreachable { servers: "(no thread)".into(), source })?;
        is_ready.await.unwrap_or(Err(Error::NotOpen { what: "writer" }))?;
        Ok(this)
    }

    /// Appends in one transaction. After an error the outcome is unknown and the producer of no
    /// more use.
    pub(crate) async fn append(&self, job: Job) -> Result<()> {
        let gone = || Error::NotOpen { what: "writer" };
        let (reply, outcome) = oneshot::channel();
        self.jobs.send((job, reply)).await.map_err(|_| gone())?;
        outcome.await.unwrap_or_else(|_| Err(gone()))
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        self.is_abandoned.store(true, Ordering::Relaxed);
    }
}

type Queue = mpsc::Receiver<(Job, oneshot::Sender<Result<()>>)>;

fn serve(
    config: Arc<KafkaConfig>,
    name: Name,
    is_abandoned: Arc<AtomicBool>,
    ready: oneshot::Sender<Result<()>>,
    mut queue: Queue,
) {
    let client = config.producer(&name.transactional_id).create_with_context(Context::default());
    let client: BaseProducer<Context> = match client {
        Ok(client) => client,
        Err(error) => {
            // Nobody may wait any more; then the error concerns nobody.
            drop(ready.send(Err(Error::of_property(&error))));
            return;
        }
    };
    let identity = IdentityText::new(&name.incarnation);
    let mut worker = Worker { client, config, name, is_abandoned, identity };
    let opened = worker.init();
    let is_usable = opened.is_ok();
    if ready.send(opened).is_err() || !is_usable {
        return;
    }
    while let Some((job, reply)) = queue.blocking_recv() {
        let outcome = worker.append(&job);
        let is_usable = outcome.is_ok();
        if reply.send(outcome).is_err() || !is_usable {
            return;
        }
    }
}

struct Worker {
    client: BaseProducer<Context>,
    config: Arc<KafkaConfig>,
    name: Name,
    is_abandoned: Arc<AtomicBool>,
    identity: IdentityText,
}

impl Worker {
    fn init(&self) -> Result<()> {
        self.resume(self.config.request_timeout, "taking over the transactions", || {
            self.client.init_transactions(SLICE)
        })
    }

    fn append(&mut self, job: &Job) -> Result<()> {
        self.client.context().forget();
        self.client.begin_transaction().map_err(|error| self.failed("beginning", &error))?;
        let produced = self.produce(job).and_then(|()| self.drain());
        if let Err(error) = produced {
            self.abort();
            // The report that tells why may come only now, after that of a consequence.
            return Err(self.delivery_failure().unwrap_or(error));
        }
        self.resume(self.config.transaction_timeout, "committing", || {
            self.client.commit_transaction(SLICE)
        })
    }

    /// Repeats a call that may be continued after its time was over.
    fn resume(
        &self,
        patience: Duration,
        action: &'static str,
        call: impl Fn() -> Result<(), KafkaError>,
    ) -> Result<()> {
        let deadline = Instant::now() + patience;
        loop {
            let error = match call() {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            self.poll();
            let told = self.client.context().last_error();
            let is_refused = told.is_some_and(|(code, _)| kind(code) == Kind::Authentication);
            let may_continue =
                matches!(&error, KafkaError::Transaction(e) if e.is_retriable() && !e.is_fatal());
            if !may_continue || is_refused || self.is_abandoned() || Instant::now() >= deadline {
                return Err(self.failed(action, &error));
            }
        }
    }

    fn produce(&mut self, job: &Job) -> Result<()> {
        let mut last: Option<(&Topic, i32)> = None;
        for record in &job.batch.records {
            let count = match last {
                Some((topic, count)) if Arc::ptr_eq(&topic.0, &record.topic.0) => count,
                _ => *job
                    .partitions
                    .get(&record.topic)
                    .expect("invariant: the writer knows every topic of its batch"),
            };
            last = Some((&record.topic, count));
            for partition in place(record, count) {
                let headers = headers(record, &mut self.identity);
                let message = BaseRecord::to(record.topic.as_str()).partition(partition);
                let message = BaseRecord {
                    key: record.key.as_deref(),
                    payload: record.value.as_deref(),
                    headers,
                    ..message
                };
                self.send(message)?;
            }
        }
        if let Some((topic, records)) = &job.checkpoint {
            for (key, value) in records {
                let message = BaseRecord::to(topic.as_str()).partition(0).key(&key[..]);
                self.send(BaseRecord { payload: value.as_deref(), ..message })?;
            }
        }
        Ok(())
    }

    /// Hands a record to the client, waiting while its queue is full.
    fn send(&self, mut message: BaseRecord<'_, [u8], [u8]>) -> Result<()> {
        loop {
            match self.client.send(message) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(Code::QueueFull), returned)) => {
                    message = returned;
                    self.check()?;
                    thread::park_timeout(PAUSE.1);
                }
                Err((error, returned)) => {
                    let code = error.rdkafka_error_code().unwrap_or(Code::Unknown);
                    return Err(self.undelivered(code, returned.topic));
                }
            }
        }
    }

    /// Waits until every record is acknowledged.
    fn drain(&self) -> Result<()> {
        let mut pause = PAUSE.0;
        loop {
            self.check()?;
            if self.client.in_flight_count() == 0 {
                // What the last poll did not bring yet.
                return self.check();
            }
            thread::park_timeout(pause);
            pause = (pause * 2).min(PAUSE.1);
        }
    }

    /// Serves the client's events, and returns the first failed delivery. Ends by itself, for no
    /// delivery takes longer than `message.timeout.ms`.
    fn check(&self) -> Result<()> {
        self.poll();
        if let Some(error) = self.delivery_failure() {
            return Err(error);
        }
        if self.is_abandoned() {
            return Err(Error::NotOpen { what: "writer" });
        }
        Ok(())
    }

    fn poll(&self) {
        self.client.poll(Duration::ZERO);
    }

    fn is_abandoned(&self) -> bool {
        self.is_abandoned.load(Ordering::Relaxed)
    }

    /// Tries to abort, so that readers need not wait for the next writer or the broker to do so.
    fn abort(&self) {
        self.client.purge(PurgeConfig::default().queue().inflight());
        let deadline = Instant::now() + SLICE;
        while self.client.in_flight_count() > 0 && Instant::now() < deadline {
            self.poll();
            thread::park_timeout(PAUSE.1);
        }
        if let Err(error) = self.client.abort_transaction(SLICE) {
            tracing::debug!(error = %error, "kafka transaction was left open");
        }
    }

    fn delivery_failure(&self) -> Option<Error> {
        let failure = self.client.context().failure()?;
        Some(self.undelivered(failure.code, &failure.topic))
    }

    fn undelivered(&self, code: Code, topic: &str) -> Error {
        match kind(code) {
            Kind::TooLarge => {
                Error::TooLarge { topic: topic.to_owned(), limit: self.config.message_bytes_max }
            }
            Kind::Authorization => {
                let resource = format!("topic \"{topic}\"");
                Error::Authorization { action: "writing", resource }
            }
            Kind::Transient
            | Kind::Fenced
            | Kind::Authentication
            | Kind::OutOfRange
            | Kind::Refused
            | Kind::Unknown => self.error("writing", code, Some(format!("topic \"{topic}\""))),
        }
    }

    fn failed(&self, action: &'static str, error: &KafkaError) -> Error {
        let code = error.rdkafka_error_code().unwrap_or(Code::Unknown);
        let reason = match error {
            KafkaError::Transaction(error) => Some(error.string()),
            _ => None,
        };
        self.error(action, code, reason)
    }

    /// Makes an error of `code`, unless the client has told a better reason.
    fn error(&self, action: &'static str, code: Code, reason: Option<String>) -> Error {
        let told = self.client.context().last_error();
        let (code, reason) = match (self.client.client().fatal_error(), told) {
            (Some((fatal, text)), _) => (fatal, Some(text)),
            (None, Some((told, text))) if kind(told) == Kind::Authentication => (told, Some(text)),
            (None, Some((_, text))) if reason.is_none() => (code, Some(text)),
            (None, _) => (code, reason),
        };
        if kind(code) == Kind::Fenced {
            return Error::Fenced { transactional_id: Arc::clone(&self.name.transactional_id) };
        }
        Error::of_code(action, &self.config.bootstrap_servers, code, reason)
    }
}

fn headers(record: &Record, identity: &mut IdentityText) -> Option<OwnedHeaders> {
    let count = record.headers.len() + usize::from(record.id.is_some());
    if count == 0 {
        return None;
    }
    let mut headers = OwnedHeaders::new_with_capacity(count);
    if let Some(id) = &record.id {
        let value = Some(identity.of(id));
        headers = headers.insert(Header { key: Record::ID_HEADER, value });
    }
    for header in &record.headers {
        headers = headers.insert(Header { key: &header.name, value: Some(&header.value[..]) });
    }
    Some(headers)
}
