//! The catalogue in a compacted topic, as Confluent's registry keeps it.
//!
//! ```text
//! write ──> open the writer (fences others) ─> read to the end ─> decide ─> append ─> read back
//!                                                    ▲                                   │
//! follow: topic ─> record ─> catalogue ──────────────┴───────────────────────────────────┘
//! ```
//!
//! # One writer
//! Several instances may run. Each follows the topic and answers reads; one at a time writes.
//! Opening a writer fences the one before ([`cdc_log_kafka::CompactedTopic`]), so what is decided
//! after reading to the end of the topic is decided on all that was written: no id and no version
//! is given twice. An instance that finds itself fenced, or is told nothing of use (a broker may
//! answer a commit with UNKNOWN_SERVER_ERROR while another instance takes over), opens a writer
//! again, reads what the other wrote, and decides anew, a few times; then it refuses with 50002.
//! Instances that write at the same time are therefore slow, and right.
//!
//! A registry of another make does not take part in that. If what it wrote contradicts the
//! catalogue (an id that names another schema), nothing is written here any more, and `/readyz`
//! tells; reads go on. So let only one make of registry write to a topic.
//!
//! # Failure
//! - Kafka is away: reads go on from memory, and so does registering what is registered; other
//!   writes are refused with 50002 in bounded time.
//! - An append's outcome is unknown: the next writer settles it, the topic is read to its end, and
//!   if the changes are there, that was it.
//! - The topic vanishes or is made anew: nothing is written any more; a restart is an operator's
//!   decision.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use cdc_log_kafka::{CompactedReader, CompactedTopic, CompactedWriter, KafkaConfig};
use cdc_model::{LogRecord, Offset};
use cdc_pipeline::{Classify, ErrorClass};
use cdc_registry::Catalog;
use cdc_registry::catalog::{Change, Decided};
use tokio::sync::{Mutex, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::http::refusal::Refusal;

use super::WriteError;
use super::record::{self, Said};

/// How long one step of a write may take.
const STEP_MAX: Duration = Duration::from_secs(15);
/// How often a write is decided anew before it is refused.
const ATTEMPTS_MAX: u32 = 5;
/// How often Kafka is asked whether it is there, and how long it may take to answer.
const WATCH_INTERVAL: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(500);

/// Why the topic cannot be used; fatal settings end the start.
pub type KafkaStoreError = cdc_log_kafka::Error;

/// The topic and the catalogue that it makes.
#[derive(Debug)]
pub(crate) struct KafkaStore {
    topic: CompactedTopic,
    writer_name: String,
    state: RwLock<State>,
    /// How far the topic was read.
    position: watch::Sender<i64>,
    /// Held over each write.
    writing: Mutex<Option<CompactedWriter>>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

#[derive(Debug, Default)]
struct State {
    catalog: Catalog,
    /// Whether the topic was read to what was its end at the start.
    is_loaded: bool,
    /// Why nothing may be written any more.
    halt: Option<String>,
    /// Why the topic is not read just now.
    trouble: Option<String>,
    /// Why Kafka did not tell the topic's end when it was asked last.
    silence: Option<String>,
}

impl KafkaStore {
    /// Begins to read the topic, which may take until Kafka can be reached.
    pub(crate) fn start(
        mut config: KafkaConfig,
        topic: &str,
    ) -> Result<Arc<Self>, KafkaStoreError> {
        // A writer that died must not hold readers up for long.
        config.transaction_timeout = Duration::from_secs(10);
        config.request_timeout = config.request_timeout.min(STEP_MAX);
        let store = Arc::new(Self {
            topic: CompactedTopic::new(config, topic)?,
            writer_name: format!("penstock-registry-{topic}"),
            state: RwLock::default(),
            position: watch::Sender::new(0),
            writing: Mutex::new(None),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        });
        let (follower, stop) = (Arc::clone(&store), store.stop.clone());
        store.tasks.spawn(async move { stop.run_until_cancelled(follower.follow()).await });
        let (watcher, stop) = (Arc::clone(&store), store.stop.clone());
        store.tasks.spawn(async move { stop.run_until_cancelled(watcher.watch()).await });
        Ok(store)
    }

    /// Stops following.
    pub(crate) async fn close(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Returns why it cannot serve everything.
    pub(crate) fn obstacle(&self) -> Option<String> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        let loading = || match &state.trouble {
            Some(trouble) => format!("the topic of schemas cannot be read: {trouble}"),
            None => "the topic of schemas is being read".to_owned(),
        };
        state.halt.clone().or_else(|| (!state.is_loaded).then(loading))
    }

    /// Returns what keeps it from taking changes, and whether that lasts.
    pub(crate) fn trouble(&self) -> Option<(bool, String)> {
        let is_halted = {
            let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(silence) = state.silence.as_ref().filter(|_| state.is_loaded) {
                let known = "schemas that are known go on being served";
                return Some((false, format!("Kafka does not answer: {silence}; {known}")));
            }
            state.halt.is_some()
        };
        self.obstacle().map(|reason| (is_halted, reason))
    }

    /// Asks Kafka now and then whether it is there.
    async fn watch(&self) {
        loop {
            let silence = match tokio::time::timeout(WATCH_INTERVAL, self.topic.end()).await {
                Ok(Ok(_)) => None,
                Ok(Err(error)) => Some(cdc_pipeline::error::chain(&error)),
                Err(_) => Some("it says nothing".to_owned()),
            };
            self.change(|state| state.silence = silence);
            tokio::time::sleep(WATCH_INTERVAL).await;
        }
    }

    /// Reads the catalogue.
    pub(crate) fn read<T>(&self, read: impl FnOnce(&Catalog) -> T) -> Result<T, Refusal> {
        {
            let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
            if state.is_loaded {
                return Ok(read(&state.catalog));
            }
        }
        let reason = self.obstacle().unwrap_or_else(|| "try again".to_owned());
        Err(Refusal::away(50001, reason))
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.write().unwrap_or_else(PoisonError::into_inner));
    }

    /// Decides and appends; returns after the topic was read back.
    pub(crate) async fn write<T>(
        &self,
        decide: impl Fn(&Catalog) -> cdc_registry::Result<Decided<T>>,
    ) -> Result<T, WriteError> {
        let turn = tokio::time::timeout(STEP_MAX, self.writing.lock()).await;
        let mut writer = turn.map_err(|_| {
            WriteError::Away(Refusal::away(50002, "writes before this one take too long"))
        })?;
        let mut failure = None;
        for _ in 0..ATTEMPTS_MAX {
            let attempt = self.attempt(&mut writer, &decide);
            match tokio::time::timeout(4 * STEP_MAX, attempt).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(Failed::Decided(error))) => return Err(error),
                Ok(Err(Failed::Kafka(error, is_undone))) => {
                    *writer = None;
                    let class = error.class();
                    tracing::debug!(error = %error, ?class, is_undone, "a write failed");
                    failure = Some(cdc_pipeline::error::chain(&error));
                    let is_unknown = class == ErrorClass::Unknown && is_undone;
                    if class != ErrorClass::Fenced && !is_unknown {
                        break;
                    }
                }
                Err(_) => {
                    *writer = None;
                    failure = Some("Kafka did not answer in time".to_owned());
                    break;
                }
            }
        }
        let reason = failure.unwrap_or_else(|| "another instance keeps writing".to_owned());
        let reason = format!("Write to the Kafka store failed or timed out: {reason}");
        Err(WriteError::Away(Refusal::away(50002, reason)))
    }

    async fn attempt<T>(
        &self,
        writer: &mut Option<CompactedWriter>,
        decide: &impl Fn(&Catalog) -> cdc_registry::Result<Decided<T>>,
    ) -> Result<T, Failed> {
        if let Some(reason) = self.obstacle() {
            return Err(Failed::Decided(WriteError::Away(Refusal::away(50001, reason))));
        }
        if writer.is_none() {
            *writer = Some(self.topic.writer(&self.writer_name).await?);
        }
        self.catch_up().await?;
        let (answer, changes) = self.decide(decide)?;
        if changes.is_empty() {
            return Ok(answer);
        }
        let records = self.read(|catalog| record::write(catalog, &changes))?;
        // Taken out while it is at work: whoever asked may go away in between, and then the next
        // writer must settle what became of this.
        let Some(open) = writer.take() else {
            return Err(Refusal::away(50002, "try again").into());
        };
        let outcome = open.append(records).await;
        *writer = Some(match &outcome {
            Ok(()) => open,
            // It may have happened all the same: what the next writer settles tells.
            Err(_) => self.topic.writer(&self.writer_name).await?,
        });
        self.catch_up().await?;
        let is_there = self.read(|catalog| changes.iter().all(|change| catalog.holds(change)))?;
        match outcome {
            _ if is_there => Ok(answer),
            Err(error) => Err(Failed::Kafka(error, true)),
            // Somebody of another make wrote over it at once.
            Ok(()) => Err(Failed::Decided(WriteError::Away(Refusal::away(
                50001,
                "another registry writes to the topic of schemas",
            )))),
        }
    }

    fn decide<T>(
        &self,
        decide: &impl Fn(&Catalog) -> cdc_registry::Result<Decided<T>>,
    ) -> Result<(T, Vec<Change>), Failed> {
        let decided = self.read(decide)?;
        decided.map_err(|error| Failed::Decided(WriteError::Registry(error)))
    }

    /// Waits until everything that is in the topic now was read.
    async fn catch_up(&self) -> Result<(), Failed> {
        let end = self.topic.end().await?;
        let mut position = self.position.subscribe();
        let reached = position.wait_for(|position| *position >= end.0);
        match tokio::time::timeout(STEP_MAX, reached).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) | Err(_) => {
                let reason = "the topic of schemas could not be read to its end in time";
                Err(Failed::Decided(WriteError::Away(Refusal::away(50002, reason))))
            }
        }
    }

    /// Follows the topic for ever.
    async fn follow(&self) {
        let mut told = String::new();
        loop {
            let Err(error) = self.session().await;
            let reason = cdc_pipeline::error::chain(&error);
            if reason != told {
                tracing::warn!(error = %reason, "the topic of schemas is not read");
                told.clone_from(&reason);
            }
            let is_lasting = error.class() == ErrorClass::Fatal && self.is_loaded();
            self.change(|state| {
                if is_lasting && state.halt.is_none() {
                    state.halt = Some(format!("the topic of schemas cannot be used: {reason}"));
                }
                state.trouble = Some(reason);
            });
            tokio::time::sleep(PAUSE).await;
        }
    }

    fn is_loaded(&self) -> bool {
        self.state.read().unwrap_or_else(PoisonError::into_inner).is_loaded
    }

    async fn session(&self) -> Result<std::convert::Infallible, cdc_log_kafka::Error> {
        self.topic.open().await?;
        let end = self.topic.end().await?;
        let from = *self.position.borrow();
        let mut reader = self.topic.reader((from > 0).then_some(Offset(from))).await?;
        self.note(&reader, end);
        loop {
            match reader.poll().await {
                Ok(records) => {
                    self.change(|state| {
                        state.trouble = None;
                        records.iter().for_each(|record| state.apply(record));
                    });
                    self.note(&reader, end);
                }
                // The reader goes on by itself.
                Err(error) if error.class() == ErrorClass::Transient => {
                    tracing::debug!(error = %error, "reading the topic of schemas");
                    self.change(|state| state.trouble = Some(error.to_string()));
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Tells how far the topic was read, after what was read is in the catalogue.
    fn note(&self, reader: &CompactedReader, end: Offset) {
        if reader.position() >= end {
            self.change(|state| {
                if !state.is_loaded {
                    let (schemas, last_id) = (state.catalog.schemas_len(), state.catalog.last_id());
                    tracing::info!(schemas, last_id, "the topic of schemas was read");
                }
                state.is_loaded = true;
            });
        }
        self.position.send_replace(reader.position().0);
    }
}

impl State {
    fn apply(&mut self, record: &LogRecord) {
        match record::read(record.key.as_deref(), record.value.as_deref()) {
            Said::Change(change) => {
                if let Some(reason) = self.contradiction(&change) {
                    tracing::error!(offset = record.offset.0, "{reason}");
                    self.halt.get_or_insert(reason);
                    return;
                }
                self.catalog.apply(&change);
            }
            Said::LastId(id) => self.catalog.raise_last_id(id),
            Said::Nothing => {}
            Said::Unreadable(reason) => {
                let offset = record.offset.0;
                tracing::warn!(offset, reason, "a record of the topic of schemas is left out");
            }
        }
    }

    fn contradiction(&self, change: &Change) -> Option<String> {
        let Change::Version { subject, version, id, schema, .. } = change else { return None };
        let known = self.catalog.schema(*id)?;
        if known.is_equal(schema) {
            return None;
        }
        Some(format!(
            "two registries write to the topic of schemas: id {} names one schema, and another in \
             version {} of subject \"{subject}\"; stop one of them and restore the topic",
            id.0, version.0
        ))
    }
}

/// Why an attempt to write failed.
enum Failed {
    /// That is the answer.
    Decided(WriteError),
    /// Kafka failed; whether it is known that nothing was written.
    Kafka(cdc_log_kafka::Error, bool),
}

impl From<cdc_log_kafka::Error> for Failed {
    fn from(error: cdc_log_kafka::Error) -> Self {
        Self::Kafka(error, false)
    }
}

impl From<Refusal> for Failed {
    fn from(refusal: Refusal) -> Self {
        Self::Decided(WriteError::Away(refusal))
    }
}
