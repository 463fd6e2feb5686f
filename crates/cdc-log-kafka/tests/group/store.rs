//! A store that several processes share: one file, replaced whole by each transaction under a lock.
//!
//! It keeps what a shared sink must: for each partition who claimed it last and where it goes on, and
//! beside them the rows, here every record applied with the name of who applied it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cdc_model::{Offset, Partition, Topic, TopicId, TopicPartition, Value};
use cdc_pipeline::port::{
    Atomicity, Epoch, Generation, ParkedRecord, SettleBatch, Sharing, Sink, SinkBatch, SinkError,
    SinkKind, SinkState,
};
use cdc_pipeline::{Classify, ErrorClass};

use crate::report;

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("{0} is another replica's")]
    Taken(String),
    #[error("{0} goes on elsewhere")]
    Elsewhere(String),
    #[error("the file")]
    File(#[from] std::io::Error),
}

impl Classify for Error {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Taken(_) => ErrorClass::Fenced,
            Self::Elsewhere(_) | Self::File(_) => ErrorClass::Fatal,
        }
    }
}

impl SinkError for Error {
    fn poisoned(&self) -> Option<usize> {
        None
    }
}

/// What one partition came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) topic_id: String,
    pub(crate) epoch: u64,
    pub(crate) owner: String,
    pub(crate) next: Option<i64>,
    /// Offset, value and who applied it.
    pub(crate) rows: Vec<(i64, String, String)>,
}

/// All that the file says.
#[derive(Debug, Default)]
pub(crate) struct Contents {
    epoch: u64,
    pub(crate) partitions: BTreeMap<(String, i32), Stored>,
}

impl Contents {
    fn parse(text: &str) -> Self {
        let mut contents = Self::default();
        for line in text.lines() {
            let words: Vec<&str> = line.split('\t').collect();
            let number = |at: usize| words[at].parse::<i64>().expect("a number");
            match words[..] {
                ["epoch", epoch] => contents.epoch = epoch.parse().expect("a number"),
                ["partition", topic, _, topic_id, _, owner, _] => {
                    let stored = Stored {
                        topic_id: topic_id.to_owned(),
                        epoch: words[4].parse().expect("a number"),
                        owner: owner.to_owned(),
                        next: Some(number(6)).filter(|next| *next >= 0),
                        rows: Vec::new(),
                    };
                    let index = words[2].parse().expect("a number");
                    contents.partitions.insert((topic.to_owned(), index), stored);
                }
                ["row", topic, index, _, value, by] => {
                    let key = (topic.to_owned(), index.parse().expect("a number"));
                    let stored = contents.partitions.get_mut(&key).expect("its partition");
                    stored.rows.push((number(3), value.to_owned(), by.to_owned()));
                }
                _ => panic!("no such line: {line}"),
            }
        }
        contents
    }

    fn render(&self) -> String {
        let mut text = format!("epoch\t{}\n", self.epoch);
        for ((topic, index), stored) in &self.partitions {
            let Stored { topic_id, epoch, owner, next, rows } = stored;
            let next = next.unwrap_or(-1);
            text += &format!("partition\t{topic}\t{index}\t{topic_id}\t{epoch}\t{owner}\t{next}\n");
            for (offset, value, by) in rows {
                text += &format!("row\t{topic}\t{index}\t{offset}\t{value}\t{by}\n");
            }
        }
        text
    }

    /// Returns how many partitions each owner has.
    pub(crate) fn owners(&self) -> BTreeMap<&str, usize> {
        let mut owners = BTreeMap::new();
        for stored in self.partitions.values() {
            *owners.entry(stored.owner.as_str()).or_default() += 1;
        }
        owners
    }
}

/// The store of a folder.
#[derive(Debug, Clone)]
pub(crate) struct Store(PathBuf);

impl Store {
    pub(crate) fn new(dir: &Path) -> Self {
        Self(dir.to_owned())
    }

    pub(crate) fn read(&self) -> Contents {
        let text = fs::read_to_string(self.0.join("contents")).unwrap_or_default();
        Contents::parse(&text)
    }

    /// While it is there, an apply waits before it begins.
    pub(crate) fn stall(&self, name: &str) -> PathBuf {
        self.0.join(format!("stall-{name}"))
    }

    fn transact<T>(
        &self,
        change: impl FnOnce(&mut Contents) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let lock = File::create(self.0.join("lock"))?;
        lock.lock()?;
        let mut contents = self.read();
        let outcome = change(&mut contents)?;
        // Under the lock nobody else writes a file of this name.
        let new = self.0.join("new");
        fs::write(&new, contents.render())?;
        fs::rename(&new, self.0.join("contents"))?;
        Ok(outcome)
    }
}

/// A replica's sink.
#[derive(Debug)]
pub(crate) struct StoreSink {
    pub(crate) store: Store,
    pub(crate) name: String,
    pub(crate) epoch: u64,
}

fn key(partition: &TopicPartition) -> (String, i32) {
    (partition.topic.as_str().to_owned(), partition.partition.0)
}

fn state<'a>(epoch: u64, held: impl Iterator<Item = (&'a (String, i32), &'a Stored)>) -> SinkState {
    let offset = |((topic, index), stored): (&(String, i32), &Stored)| {
        let source =
            TopicPartition { topic: Topic::new(topic.as_str()), partition: Partition(*index) };
        Some((source, (TopicId(stored.topic_id.as_str().into()), Offset(stored.next?))))
    };
    SinkState {
        generation: Generation(1),
        epoch: Epoch(epoch),
        offsets: held.filter_map(offset).collect(),
        parked: Vec::new(),
    }
}

impl Sink for StoreSink {
    type Error = Error;

    fn kind(&self) -> SinkKind {
        SinkKind { sharing: Sharing::Partitioned, atomicity: Atomicity::Transactional }
    }

    async fn resume(&mut self) -> Result<SinkState, Error> {
        let (epoch, told) = self.store.transact(|contents| {
            contents.epoch += 1;
            Ok((contents.epoch, state(contents.epoch, contents.partitions.iter())))
        })?;
        self.epoch = epoch;
        Ok(told)
    }

    async fn claim(&mut self, partitions: Vec<TopicPartition>) -> Result<SinkState, Error> {
        let (epoch, owner) = (self.epoch, self.name.clone());
        self.store.transact(|contents| {
            let keys: Vec<_> = partitions.iter().map(key).collect();
            for key in &keys {
                let stored = contents.partitions.entry(key.clone()).or_default();
                (stored.epoch, stored.owner) = (epoch, owner.clone());
            }
            let claimed = contents.partitions.iter().filter(|(key, _)| keys.contains(key));
            Ok(state(epoch, claimed))
        })
    }

    async fn apply(&mut self, batch: Arc<SinkBatch>) -> Result<(), Error> {
        let stall = self.store.stall(&self.name);
        if stall.exists() {
            report("stalled");
            let mut pace = tokio::time::interval(std::time::Duration::from_millis(20));
            while stall.exists() {
                pace.tick().await;
            }
        }
        let applied = self.store.transact(|contents| {
            for range in &batch.ranges {
                let stored = contents.partitions.entry(key(&range.source)).or_default();
                if stored.epoch != batch.epoch.0 {
                    return Err(Error::Taken(range.source.to_string()));
                }
                if stored.next.is_some_and(|next| next != range.first.0) {
                    return Err(Error::Elsewhere(range.source.to_string()));
                }
                stored.next = Some(range.next.0);
                range.topic_id.0.as_ref().clone_into(&mut stored.topic_id);
            }
            for change in &batch.changes {
                let row = change.event.after.as_ref().expect("an insert");
                let Some(Value::Text(value)) = row.get(1) else { panic!("a text") };
                let stored = contents.partitions.get_mut(&key(&change.source)).expect("in a range");
                stored.rows.push((change.offset.0, value.as_str().to_owned(), self.name.clone()));
            }
            Ok(())
        });
        if matches!(applied, Err(Error::Taken(_))) {
            report("refused");
        }
        applied
    }

    async fn parked(&mut self, _: usize) -> Result<(Vec<ParkedRecord>, u64), Error> {
        Ok((Vec::new(), 0))
    }

    async fn settle(&mut self, _: Arc<SettleBatch>) -> Result<(), Error> {
        Ok(())
    }
}
