//! What is happening: records as they are appended, sampled.
//!
//! A topic, or all of them, is followed while somebody looks, and for a while after. At most
//! twenty records a second are sent and kept, evenly spread, and all while fewer come. The others are
//! counted where they are read, so that a dashboard costs the same at any rate.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cdc_control::Sample;
use cdc_control::v1::TailEvent;
use futures_util::StreamExt;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::change::{self, Change};
use crate::fleet::{ASK_TIMEOUT, Fleet, Refusal, lock};

/// Records kept of a second in the long run; who tells them passes the others over.
const KEPT_PER_SECOND: u32 = 20;

/// What is kept of a topic.
const EVENTS_MAX: usize = 500;
const BYTES_MAX: usize = 16 << 20;

/// Topics followed at a time.
const TAILS_MAX: usize = 8;

/// How long after the last look a topic is followed.
const LINGER: Duration = Duration::from_secs(60);

/// How often a quiet topic is looked after.
const PULSE: Duration = Duration::from_secs(1);

/// A record that was kept.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    pub(crate) record: Arc<TailEvent>,
    /// `schema.table`.
    pub(crate) table: String,
    /// What it changed, if it is not too long to be taken apart for a list.
    pub(crate) change: Option<Change>,
}

impl Event {
    fn new(record: TailEvent) -> Self {
        let json = record.value_json.as_deref();
        let listed = json.filter(|json| json.len() <= change::LISTED_BYTES_MAX);
        let change = listed.and_then(change::read);
        let told = change.as_ref().and_then(|change| change.table.clone());
        let table = told.unwrap_or_else(|| change::table_of_topic(&record.topic).to_owned());
        Self { record: Arc::new(record), table, change }
    }

    /// Returns what names it in an address.
    pub(crate) fn id(&self) -> String {
        format!("{}:{}:{}", self.record.topic, self.record.partition, self.record.offset)
    }

    fn bytes(&self) -> usize {
        let value = self.record.value_json.as_ref().map_or(0, String::len);
        // The fields repeat what is in the value.
        2 * value + self.record.text.len() + self.record.key.len() + 512
    }
}

/// What was kept of one topic, or of all.
#[derive(Debug)]
pub(crate) struct Tail {
    topic: Option<String>,
    kept: Mutex<Kept>,
}

#[derive(Debug)]
struct Kept {
    events: VecDeque<Event>,
    bytes: usize,
    /// For who tells all of them.
    sample: Sample,
    /// When the second began, and how many came and were kept in it.
    second: Instant,
    came: u64,
    shown: u64,
    /// Of the second before.
    rates: (u64, u64),
    wanted_until: Instant,
    trouble: Option<Refusal>,
}

/// What a page shows of a tail.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sight {
    /// Newest first.
    pub(crate) events: Vec<Event>,
    /// Records that came, and that were kept, in the last second.
    pub(crate) rates: (u64, u64),
    pub(crate) trouble: Option<Refusal>,
}

impl Tail {
    fn new(topic: Option<String>) -> Self {
        let now = Instant::now();
        let kept = Kept {
            events: VecDeque::new(),
            bytes: 0,
            sample: Sample::new(KEPT_PER_SECOND),
            second: now,
            came: 0,
            shown: 0,
            rates: (0, 0),
            wanted_until: now + LINGER,
            trouble: None,
        };
        Self { topic, kept: Mutex::new(kept) }
    }

    fn push(&self, record: TailEvent, now: Instant) {
        let mut kept = lock(&self.kept);
        kept.turn(now);
        kept.came += 1 + record.passed_over;
        kept.trouble = None;
        if kept.sample.take(now).is_none() {
            return;
        }
        kept.shown += 1;
        let event = Event::new(record);
        kept.bytes += event.bytes();
        kept.events.push_back(event);
        while kept.events.len() > EVENTS_MAX || (kept.bytes > BYTES_MAX && kept.events.len() > 1) {
            let gone = kept.events.pop_front().map_or(0, |event| event.bytes());
            kept.bytes -= gone;
        }
    }

    /// Returns the newest, and keeps the topic followed.
    pub(crate) fn look(&self, count: usize) -> Sight {
        let now = Instant::now();
        let mut kept = lock(&self.kept);
        kept.turn(now);
        kept.wanted_until = now + LINGER;
        let events = kept.events.iter().rev().take(count).cloned().collect();
        Sight { events, rates: kept.rates, trouble: kept.trouble.clone() }
    }

    /// Returns the record of that [`Event::id`], if it is still kept.
    pub(crate) fn find(&self, id: &str) -> Option<Event> {
        lock(&self.kept).events.iter().find(|event| event.id() == id).cloned()
    }

    fn is_wanted(&self) -> bool {
        Instant::now() < lock(&self.kept).wanted_until
    }

    /// Follows the topic until nobody looks any more.
    async fn follow(&self, fleet: &Fleet) {
        while self.is_wanted() {
            let topic = self.topic.as_deref();
            let opened = fleet.first("", ASK_TIMEOUT, |mut client| {
                let topic = topic.map(str::to_owned);
                async move { client.sample(topic.as_deref(), KEPT_PER_SECOND).await }
            });
            match opened.await {
                Ok(stream) => self.drain(stream).await,
                Err(refusal) => lock(&self.kept).trouble = Some(refusal),
            }
            tokio::time::sleep(PULSE).await;
        }
    }

    async fn drain(
        &self,
        stream: impl futures_util::Stream<Item = cdc_control::Result<TailEvent>>,
    ) {
        lock(&self.kept).trouble = None;
        let mut stream = std::pin::pin!(stream);
        while self.is_wanted() {
            match tokio::time::timeout(PULSE, stream.next()).await {
                Ok(Some(Ok(record))) => self.push(record, Instant::now()),
                Ok(Some(Err(_)) | None) => return,
                Err(_) => {}
            }
        }
    }
}

impl Kept {
    /// Begins another second if one is over.
    fn turn(&mut self, now: Instant) {
        let passed = now.duration_since(self.second);
        if passed < Duration::from_secs(1) {
            return;
        }
        let is_next = passed < Duration::from_secs(2);
        self.rates = if is_next { (self.came, self.shown) } else { (0, 0) };
        (self.second, self.came, self.shown) = (now, 0, 0);
    }
}

/// Every tail that is followed.
#[derive(Debug)]
pub(crate) struct Tails {
    followed: Mutex<BTreeMap<Option<String>, Arc<Tail>>>,
    begun: mpsc::Sender<Arc<Tail>>,
}

impl Tails {
    /// Makes an empty list, and the queue that [`Tails::run`] takes.
    pub(crate) fn new() -> (Self, mpsc::Receiver<Arc<Tail>>) {
        let (begun, queue) = mpsc::channel(TAILS_MAX);
        (Self { followed: Mutex::default(), begun }, queue)
    }

    /// Returns the tail of a topic, or of all, and begins to follow it; none if too many are.
    pub(crate) fn of(&self, topic: Option<&str>) -> Option<Arc<Tail>> {
        let topic = topic.map(str::to_owned);
        let mut followed = lock(&self.followed);
        if let Some(tail) = followed.get(&topic) {
            return Some(Arc::clone(tail));
        }
        if followed.len() >= TAILS_MAX {
            return None;
        }
        let tail = Arc::new(Tail::new(topic.clone()));
        self.begun.try_send(Arc::clone(&tail)).ok()?;
        followed.insert(topic, Arc::clone(&tail));
        Some(tail)
    }

    /// Follows what is looked at until `shutdown`.
    pub(crate) async fn run(
        &self,
        fleet: &Arc<Fleet>,
        mut queue: mpsc::Receiver<Arc<Tail>>,
        shutdown: &CancellationToken,
    ) {
        let mut tasks = JoinSet::new();
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                Some(tail) = queue.recv() => {
                    let fleet = Arc::clone(fleet);
                    tasks.spawn(async move {
                        tail.follow(&fleet).await;
                        tail.topic.clone()
                    });
                }
                Some(Ok(topic)) = tasks.join_next() => {
                    lock(&self.followed).remove(&topic);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(offset: i64, bytes: usize) -> TailEvent {
        let value_json = Some(format!("{{\"after\":{{\"v\":\"{}\"}}}}", "x".repeat(bytes)));
        TailEvent { topic: "s.public.t".to_owned(), offset, value_json, ..TailEvent::default() }
    }

    #[tokio::test(start_paused = true)]
    async fn twenty_a_second_are_kept_and_the_others_counted() {
        let (tail, start) = (Tail::new(None), Instant::now());
        for ms in 0..3_001_u32 {
            tail.push(record(i64::from(ms), 1), start + Duration::from_millis(ms.into()));
        }
        let passed_over = TailEvent { passed_over: 499, ..record(9, 1) };
        tail.push(passed_over, start + Duration::from_millis(3_999));
        tail.push(record(10, 1), start + Duration::from_millis(4_000));
        let kept = lock(&tail.kept);
        assert_eq!(kept.rates, (501, 2));
        // Those that came at once, then one in 50 ms.
        let offsets: Vec<_> = kept.events.iter().map(|event| event.record.offset).collect();
        assert_eq!((offsets[0], offsets[18], offsets[19]), (0, 18, 19));
        assert_eq!(offsets.len(), 20 + 60 + 2);
    }

    #[tokio::test(start_paused = true)]
    async fn large_values_push_out_older_ones() {
        let (tail, start) = (Tail::new(None), Instant::now());
        for offset in 0..40 {
            let at = start + Duration::from_millis(50) * u32::try_from(offset).unwrap();
            tail.push(record(offset, 1 << 20), at);
        }
        let kept = lock(&tail.kept);
        assert!(kept.bytes <= BYTES_MAX && kept.events.len() == 7, "{}", kept.events.len());
        assert_eq!(kept.events.back().map(|event| event.record.offset), Some(39));
    }
}
