//! The processes that are asked: each is followed by a stream of its status, and asked again when it
//! was away.
//!
//! ```text
//! process ─ watch ─> follow ─> Entry ─┐
//! process ─ watch ─> follow ─> Entry ─┴─ tick, once an interval ─> Moment ─> every page
//! ```
//!
//! # Failure
//! A stream that ends or says nothing for `stale_after` is given up and opened anew after a pause
//! that doubles up to five seconds. What was told before stays, marked as old.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cdc_control::{Client, Error as ControlError, v1};
use cdc_pipeline::Clock;
use futures_util::StreamExt;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tonic::Code;

use crate::config::{DashboardConfig, Endpoint};
use crate::error::{Error, Result};
use crate::history::{Columns, History, Range, Sample};
use crate::moment::{Moment, Seat};
use crate::outlook;

const RETRY_MIN: Duration = Duration::from_millis(250);
const RETRY_MAX: Duration = Duration::from_secs(5);

/// How long a command may take; a query may take [`QUERY_TIMEOUT`].
pub(crate) const ASK_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a query may take.
pub(crate) const QUERY_TIMEOUT: Duration = Duration::from_secs(30);

/// Why nobody does what was asked, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) reason: String,
    pub(crate) remedy: String,
}

struct Entry {
    endpoint: Endpoint,
    client: Option<Client>,
    seat: Seat,
    seen: Option<Instant>,
}

/// The processes that are asked.
pub(crate) struct Fleet {
    entries: Mutex<Vec<Entry>>,
    history: Mutex<History>,
    moments: watch::Sender<Arc<Moment>>,
    changed: Notify,
    clock: Clock,
    token: Option<String>,
    interval: Duration,
    stale_after: Duration,
}

impl Fleet {
    /// Makes the list of processes; asks none yet.
    pub(crate) fn new(config: &DashboardConfig, clock: Clock) -> Result<Self> {
        let token = config.control_token.clone();
        let entry = |endpoint: &Endpoint| {
            let name = endpoint.to_string();
            let client = match endpoint {
                Endpoint::Address(address) => Client::of_address(address, token.as_deref())
                    .map(Some)
                    .map_err(|source| Error::Endpoint { endpoint: name.clone(), source })?,
                Endpoint::DataDir(_) => None,
            };
            let seat = Seat { endpoint: name, ..Seat::default() };
            Ok(Entry { endpoint: endpoint.clone(), client, seat, seen: None })
        };
        let entries: Vec<Entry> = config.endpoints.iter().map(entry).collect::<Result<_>>()?;
        let seats = entries.iter().map(|entry| entry.seat.clone()).collect();
        let first = Moment::new(seats, clock.now().0 / 1_000, None);
        Ok(Self {
            entries: Mutex::new(entries),
            history: Mutex::default(),
            moments: watch::Sender::new(Arc::new(first)),
            changed: Notify::new(),
            clock,
            token,
            interval: config.interval.max(Duration::from_millis(100)),
            stale_after: config.stale_after,
        })
    }

    /// Returns the newest moment.
    pub(crate) fn moment(&self) -> Arc<Moment> {
        self.moments.borrow().clone()
    }

    /// Tells of each new moment.
    pub(crate) fn moments(&self) -> watch::Receiver<Arc<Moment>> {
        self.moments.subscribe()
    }

    /// Returns the Unix time.
    pub(crate) fn now_ms(&self) -> i64 {
        self.clock.now().0 / 1_000
    }

    /// Returns columns of the history.
    pub(crate) fn columns(&self, range: Range, names: &[String]) -> Columns {
        lock(&self.history).columns(range, names)
    }

    /// Makes a moment once an interval, and when a process appears or goes, until `shutdown`.
    pub(crate) async fn tick(&self, shutdown: &CancellationToken) {
        let mut ticks = tokio::time::interval(self.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                _ = ticks.tick() => {}
                () = self.changed.notified() => {}
            }
            self.take();
        }
    }

    fn take(&self) {
        let seats = {
            let mut entries = lock(&self.entries);
            for entry in entries.iter_mut() {
                // A stream that broke is told at once, one that only says nothing a while later.
                let is_recent = entry.seen.is_some_and(|at| at.elapsed() < self.stale_after);
                entry.seat.is_fresh = is_recent && entry.seat.trouble.is_none();
            }
            entries.iter().map(|entry| entry.seat.clone()).collect()
        };
        let before = self.moment();
        let mut moment = Moment::new(seats, self.now_ms(), Some(&before));
        let mut history = lock(&self.history);
        history.push(moment.at_ms, &sample(&moment));
        let retained = history.points(Range::FiveMinutes, RETAINED);
        // Before the server was asked, a limit that is absent says nothing.
        if let Some(source) = &moment.status.source
            && source.retained_wal_bytes.is_some()
        {
            moment.outlook = outlook::outlook(&retained, source.safe_wal_bytes);
        }
        moment.sparks = sparks(&history, &moment);
        drop(history);
        self.moments.send_replace(Arc::new(moment));
    }

    /// Follows one process until `shutdown`.
    pub(crate) async fn follow(&self, index: usize, shutdown: &CancellationToken) {
        let mut pause = RETRY_MIN;
        loop {
            let watched = shutdown.run_until_cancelled(self.watch(index)).await;
            let Some((was_seen, trouble)) = watched else { return };
            if let Some(entry) = lock(&self.entries).get_mut(index) {
                let is_news = entry.seat.trouble.is_none();
                if is_news && !shutdown.is_cancelled() {
                    let (endpoint, reason) = (entry.seat.endpoint.as_str(), &trouble.0);
                    tracing::warn!(endpoint, reason, "control does not answer");
                }
                entry.seat.trouble = Some(trouble);
            }
            self.changed.notify_one();
            pause = if was_seen { RETRY_MIN } else { (pause * 2).min(RETRY_MAX) };
            if shutdown.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
                return;
            }
        }
    }

    /// Follows one stream to its end; returns whether it told anything, and why it ended.
    async fn watch(&self, index: usize) -> (bool, (String, String)) {
        let mut client = match self.connect(index).await {
            Ok(client) => client,
            Err(error) => return (false, trouble(&error)),
        };
        let name = lock(&self.entries).get(index).map(|entry| entry.seat.endpoint.clone());
        let name = name.unwrap_or_default();
        let interval_ms = u32::try_from(self.interval.as_millis()).unwrap_or(u32::MAX);
        let silent = || {
            let seconds = self.stale_after.as_secs_f64();
            let reason = format!("it has told nothing for {seconds} s");
            (reason, "See whether the process is overloaded or stopped.".to_owned())
        };
        let stream = match tokio::time::timeout(self.stale_after, client.watch(interval_ms)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(ControlError::Gone)) => return (false, nowhere(&name)),
            Ok(Err(error)) => return (false, trouble(&error)),
            Err(_) => return (false, silent()),
        };
        let mut stream = std::pin::pin!(stream);
        let mut was_seen = false;
        loop {
            match tokio::time::timeout(self.stale_after, stream.next()).await {
                Ok(Some(Ok(status))) => self.saw(index, status),
                Ok(Some(Err(error))) => return (was_seen, trouble(&error)),
                Ok(None) => return (was_seen, trouble(&ControlError::Gone)),
                Err(_) => return (was_seen, silent()),
            }
            was_seen = true;
        }
    }

    async fn connect(&self, index: usize) -> Result<Client, ControlError> {
        let endpoint = lock(&self.entries).get(index).map(|entry| entry.endpoint.clone());
        let client = match endpoint {
            Some(Endpoint::DataDir(dir)) => Client::connect(&dir).await?,
            Some(Endpoint::Address(address)) => {
                Client::of_address(&address, self.token.as_deref())?
            }
            None => return Err(ControlError::Gone),
        };
        if let Some(entry) = lock(&self.entries).get_mut(index) {
            entry.client = Some(client.clone());
        }
        Ok(client)
    }

    fn saw(&self, index: usize, status: v1::StatusReply) {
        let now_ms = self.now_ms();
        let mut entries = lock(&self.entries);
        let Some(entry) = entries.get_mut(index) else { return };
        let was_away = entry.seat.trouble.take().is_some() || entry.seat.status.is_none();
        entry.seat.status = Some(status);
        entry.seat.seen_ms = Some(now_ms);
        entry.seen = Some(Instant::now());
        if was_away {
            tracing::info!(endpoint = entry.seat.endpoint, "control answers");
            self.changed.notify_one();
        }
    }

    /// Returns a client of each process that may be asked: those that answer first, and of them
    /// those first that run `part`.
    pub(crate) fn clients(&self, part: &str) -> Vec<(String, Client)> {
        let entries = lock(&self.entries);
        let mut ranked: Vec<_> = entries
            .iter()
            .filter_map(|entry| {
                let client = entry.client.clone()?;
                let runs = entry.seat.status.as_ref().is_some_and(|status| runs(status, part));
                Some(((!entry.seat.is_fresh, !runs), entry.seat.endpoint.clone(), client))
            })
            .collect();
        ranked.sort_by_key(|(rank, _, _)| *rank);
        ranked.into_iter().map(|(_, endpoint, client)| (endpoint, client)).collect()
    }

    /// Asks one process after the other until one has what is asked for.
    pub(crate) async fn first<T, F>(
        &self,
        part: &str,
        limit: Duration,
        call: impl Fn(Client) -> F,
    ) -> Result<T, Refusal>
    where
        F: Future<Output = Result<T, ControlError>>,
    {
        let mut refusal = nobody();
        for (endpoint, client) in self.clients(part) {
            match ask(&endpoint, limit, call(client)).await {
                Ok(found) => return Ok(found),
                Err((is_elsewhere, told)) => {
                    refusal = told;
                    if !is_elsewhere {
                        return Err(refusal);
                    }
                }
            }
        }
        Err(refusal)
    }

    /// Asks every process, and returns what those tell that have what is asked for.
    pub(crate) async fn each<T, F>(&self, call: impl Fn(Client) -> F) -> Result<Vec<T>, Refusal>
    where
        F: Future<Output = Result<T, ControlError>>,
    {
        let mut found = Vec::new();
        let mut refusal = nobody();
        for (endpoint, client) in self.clients("") {
            match ask(&endpoint, ASK_TIMEOUT, call(client)).await {
                Ok(one) => found.push(one),
                Err((_, told)) => refusal = told,
            }
        }
        if found.is_empty() { Err(refusal) } else { Ok(found) }
    }
}

fn runs(status: &v1::StatusReply, part: &str) -> bool {
    let is_standby = status.services.iter().any(|service| service.is_standby);
    let is_capture = part == crate::moment::CAPTURE && status.capture.is_some();
    !is_standby && (is_capture || status.projections.iter().any(|p| p.name == part))
}

fn nobody() -> Refusal {
    Refusal {
        reason: "no process is asked".to_owned(),
        remedy: "Start one, and give its address with --control.".to_owned(),
    }
}

/// Asks one process; an error says whether another might have what was asked for.
async fn ask<T>(
    endpoint: &str,
    limit: Duration,
    call: impl Future<Output = Result<T, ControlError>>,
) -> Result<T, (bool, Refusal)> {
    match tokio::time::timeout(limit, call).await {
        Ok(Ok(found)) => Ok(found),
        Ok(Err(error)) => {
            let is_elsewhere = match &error {
                ControlError::Refused(status) => {
                    matches!(status.code(), Code::Unimplemented | Code::NotFound)
                }
                _ => true,
            };
            let (reason, remedy) = match &error {
                ControlError::Gone => (
                    format!("{endpoint} does not answer"),
                    "Look at /services, which tells what is known of it.".to_owned(),
                ),
                error => {
                    let (reason, remedy) = trouble(error);
                    (format!("{endpoint}: {reason}"), remedy)
                }
            };
            Err((is_elsewhere, Refusal { reason, remedy }))
        }
        Err(_) => {
            let reason = format!("{endpoint} did not answer within {} s", limit.as_secs());
            let remedy = "Look at /services, and try again.".to_owned();
            Err((true, Refusal { reason, remedy }))
        }
    }
}

/// Nobody listens where a process is asked.
fn nowhere(endpoint: &str) -> (String, String) {
    let remedy = format!(
        "Start the process that serves control at {endpoint}, or correct --control. If it ends again, its own output says why."
    );
    ("nothing answers there".to_owned(), remedy)
}

/// Why, and what to do about it.
fn trouble(error: &ControlError) -> (String, String) {
    let mut reason = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        reason = format!("{reason}: {inner}");
        cause = inner.source();
    }
    let remedy = match error {
        ControlError::Refused(status) if status.code() == Code::Unauthenticated => {
            "Give the processes' token with --control-token-file.".to_owned()
        }
        _ => error.remedy().unwrap_or_default(),
    };
    (reason, remedy)
}

/// The column of what the slot retains.
pub(crate) const RETAINED: &str = "retained_wal_bytes";

/// What a moment adds to the history: only what is fresh.
fn sample(moment: &Moment) -> Sample {
    let mut sample = Sample::new();
    let mut set = |name: String, value: Option<f64>| {
        if let Some(value) = value {
            sample.insert(name, value);
        }
    };
    if let Some(capture) = moment.capture().filter(|_| !moment.is_stale(crate::moment::CAPTURE)) {
        set("events_per_second".to_owned(), Some(capture.events_per_second));
        set("received/p50".to_owned(), capture.received_p50_ms);
        set("received/p99".to_owned(), capture.received_p99_ms);
        set("appended/p50".to_owned(), capture.latency_p50_ms);
        set("appended/p99".to_owned(), capture.latency_p99_ms);
        let source = moment.status.source.as_ref();
        let retained = source.and_then(|source| source.retained_wal_bytes);
        set(RETAINED.to_owned(), retained.map(crate::format::real));
    }
    for projection in moment.status.projections.iter().take(64) {
        let name = &projection.name;
        if moment.is_stale(name) {
            continue;
        }
        set(format!("{name}/events_per_second"), Some(projection.events_per_second));
        set(format!("{name}/lag_seconds"), projection.lag_seconds);
        set(format!("{name}/lag_records"), projection.lag_records.map(crate::format::real));
        set(format!("{name}/p50"), projection.latency_p50_ms);
        set(format!("{name}/p99"), projection.latency_p99_ms);
    }
    sample
}

/// Points of a sparkline: five seconds each.
const SPARK_POINTS: usize = 60;

fn sparks(history: &History, moment: &Moment) -> BTreeMap<String, Vec<Option<f64>>> {
    let name = |part: &str| format!("{part}/events_per_second");
    let names: Vec<String> = moment.status.projections.iter().map(|p| name(&p.name)).collect();
    let columns = history.columns(Range::FiveMinutes, &names);
    let mean = |points: &[Option<f64>]| {
        let known: Vec<f64> = points.iter().flatten().copied().collect();
        let count = u32::try_from(known.len()).ok().filter(|count| *count > 0)?;
        Some(known.iter().sum::<f64>() / f64::from(count))
    };
    let spark = |points: Vec<Option<f64>>| -> Vec<Option<f64>> {
        points.rchunks(5).take(SPARK_POINTS).map(mean).rev().collect()
    };
    let short = |name: String| name.trim_end_matches("/events_per_second").to_owned();
    columns.values.into_iter().map(|(name, points)| (short(name), spark(points))).collect()
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
