//! What goes into an event log, and what comes out of it.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use smallvec::SmallVec;

use crate::RecordId;

/// A topic's name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Topic(pub Arc<str>);

impl Topic {
    /// Makes a topic name.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self(name.into())
    }

    /// Returns the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A topic's identity: a topic deleted and made again under the same name has another.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicId(pub Arc<str>);

impl fmt::Display for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Index of a partition within its topic, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Partition(pub i32);

/// Index of a record within its partition. A stored offset is the *next to read*: the last one
/// processed plus one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Offset(pub i64);

/// One partition of one topic.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    /// The topic.
    pub topic: Topic,
    /// The partition.
    pub partition: Partition,
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition.0)
    }
}

/// A header's name.
pub type HeaderName = Cow<'static, str>;

/// A header of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Its name.
    pub name: HeaderName,
    /// Its value; the text headers of Penstock are UTF-8.
    pub value: Bytes,
}

/// A record's headers, in order.
pub type Headers = SmallVec<[Header; 1]>;

/// Which partitions of its topic a record goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placement {
    /// The one its key's murmur2 hash chooses, as Kafka's own clients do.
    ByKey,
    /// Partition 0: all records of a table without a key, so that their order holds.
    Fixed,
    /// A copy to each: truncates.
    Every,
}

/// A record on its way into an event log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Where it goes.
    pub topic: Topic,
    /// Which partitions of it.
    pub placement: Placement,
    /// Its key.
    pub key: Option<Bytes>,
    /// Its value; none is a tombstone.
    pub value: Option<Bytes>,
    /// Its headers, without its identity.
    pub headers: Headers,
    /// What makes it one and the same across replays; log writers put it into the header
    /// [`Record::ID_HEADER`]. None for records that are not born of a change.
    pub id: Option<RecordId>,
}

impl Record {
    /// The header that carries a record's identity, as `<incarnation>:<commit LSN>:<seq>:<sub>`.
    pub const ID_HEADER: &'static str = "penstock.id";

    /// Returns about how many bytes it takes in memory and on the wire, for bounds.
    pub fn size(&self) -> usize {
        let headers: usize = self.headers.iter().map(|h| h.name.len() + h.value.len()).sum();
        let payload = |bytes: &Option<Bytes>| bytes.as_ref().map_or(0, Bytes::len);
        size_of::<Self>() + headers + payload(&self.key) + payload(&self.value)
    }
}

/// A committed record, read back from an event log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogRecord {
    /// The partition it was read from.
    pub source: TopicPartition,
    /// Its offset there.
    pub offset: Offset,
    /// When it was appended, in ms since 1970, by the writer's clock.
    pub timestamp_ms: i64,
    /// Its key.
    pub key: Option<Bytes>,
    /// Its value; none is a tombstone.
    pub value: Option<Bytes>,
    /// Its headers, identity included.
    pub headers: Headers,
}

impl LogRecord {
    /// Returns the value of the first header named `name`.
    pub fn header(&self, name: &str) -> Option<&Bytes> {
        self.headers.iter().find(|header| header.name == name).map(|header| &header.value)
    }
}
