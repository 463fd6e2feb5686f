//! A checkpoint as records of the position topic, and back.
//!
//! One record for each entry (`entry:<key>`), one for each topic written to (`topic:<name>`, with
//! its identity and number of partitions), and one (`position`) with sequence, position and the
//! cluster's id, which every append writes. Compaction keeps the newest of each.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes};
use cdc_model::{Position, Topic, TopicId};
use cdc_pipeline::port::{Checkpoint, CheckpointUpdate};

use crate::topic::KnownTopic;

/// Version of every value's layout, its first byte.
const VERSION: u8 = 1;
const POSITION: &[u8] = b"position";
const ENTRY: &str = "entry:";
const TOPIC: &str = "topic:";

/// A record for the position topic; without a value it removes its key.
pub(crate) type KeyValue = (Vec<u8>, Option<Vec<u8>>);

/// What a position topic holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Stored {
    /// The pipeline's checkpoint.
    pub(crate) checkpoint: Checkpoint,
    /// The cluster it was written in.
    pub(crate) cluster: Arc<str>,
    /// The topics written to, as they were then.
    pub(crate) topics: BTreeMap<Topic, KnownTopic>,
}

impl Stored {
    /// Applies a record of the position topic; the error says what is wrong with it.
    pub(crate) fn apply(
        &mut self,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
    ) -> Result<(), &'static str> {
        let key =
            std::str::from_utf8(key.ok_or("it has no key")?).map_err(|_| "its key is no text")?;
        if key.as_bytes() == POSITION {
            return self.apply_position(value.ok_or("the position was removed")?);
        }
        if let Some(entry) = key.strip_prefix(ENTRY) {
            let value = value.map(checked).transpose()?;
            match value {
                Some(value) => {
                    let value = Bytes::copy_from_slice(value);
                    self.checkpoint.entries.insert(Arc::from(entry), value);
                }
                None => drop(self.checkpoint.entries.remove(entry)),
            }
            return Ok(());
        }
        let name = key.strip_prefix(TOPIC).ok_or("its key is not known")?;
        let known = topic(checked(value.ok_or("a topic was removed")?)?)?;
        self.topics.insert(Topic::new(name), known);
        Ok(())
    }

    fn apply_position(&mut self, value: &[u8]) -> Result<(), &'static str> {
        const SHORT: &str = "the position is cut short";
        let mut value = checked(value)?;
        self.checkpoint.sequence = value.try_get_u64().map_err(|_| SHORT)?;
        let len = usize::from(value.try_get_u16().map_err(|_| SHORT)?);
        let (cluster, position) = value.split_at_checked(len).ok_or(SHORT)?;
        self.cluster = std::str::from_utf8(cluster).map_err(|_| SHORT)?.into();
        self.checkpoint.position = match position.split_first().ok_or(SHORT)? {
            (0, []) => None,
            (1, bytes) => Some(Position(Bytes::copy_from_slice(bytes))),
            _ => return Err(SHORT),
        };
        Ok(())
    }
}

fn checked(value: &[u8]) -> Result<&[u8], &'static str> {
    match value.split_first() {
        Some((&VERSION, rest)) => Ok(rest),
        Some(_) => Err("it was written by a later version"),
        None => Err("it is empty"),
    }
}

fn topic(mut value: &[u8]) -> Result<KnownTopic, &'static str> {
    let partitions = value.try_get_i32().map_err(|_| "a topic is cut short")?;
    let id = std::str::from_utf8(value).map_err(|_| "a topic's identity is no text")?;
    Ok(KnownTopic { id: TopicId(id.into()), partitions })
}

/// Returns the records that an append writes: `update`, with `position` being the newest, and the
/// topics written to for the first time.
pub(crate) fn records(
    update: &CheckpointUpdate,
    position: Option<&Position>,
    cluster: &str,
    topics: &BTreeMap<Topic, KnownTopic>,
) -> Vec<KeyValue> {
    let mut records = Vec::with_capacity(1 + update.entries.len() + topics.len());
    for (name, known) in topics {
        let mut value = vec![VERSION];
        value.put_i32(known.partitions);
        value.put_slice(known.id.0.as_bytes());
        records.push((format!("{TOPIC}{name}").into_bytes(), Some(value)));
    }
    for (key, value) in &update.entries {
        let value = value.as_ref().map(|value| [&[VERSION], &value[..]].concat());
        records.push((format!("{ENTRY}{key}").into_bytes(), value));
    }
    let mut value = vec![VERSION];
    value.put_u64(update.sequence);
    value.put_u16(u16::try_from(cluster.len()).expect("invariant: a cluster's id is short"));
    value.put_slice(cluster.as_bytes());
    match position {
        None => value.put_u8(0),
        Some(position) => {
            value.put_u8(1);
            value.put_slice(position.as_bytes());
        }
    }
    records.push((POSITION.to_vec(), Some(value)));
    records
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Entries = Vec<(u8, Option<Vec<u8>>)>;

    fn any_update() -> impl Strategy<Value = (Option<Vec<u8>>, Entries)> {
        let entries = prop::collection::vec((0_u8..4, any::<Option<Vec<u8>>>()), 0..4);
        (any::<Option<Vec<u8>>>(), entries)
    }

    proptest! {
        #[test]
        fn what_was_written_is_read_back(updates in prop::collection::vec(any_update(), 1..8)) {
            let mut expected = Checkpoint::default();
            let mut stored = Stored::default();
            let known = KnownTopic { id: TopicId("x".into()), partitions: 3 };
            let topics = BTreeMap::from([(Topic::new("t"), known)]);
            for (sequence, (position, entries)) in (1..).zip(updates) {
                let update = CheckpointUpdate {
                    sequence,
                    position: position.map(|p| Position(p.into())),
                    entries: entries
                        .into_iter()
                        .map(|(key, value)| (key.to_string().into(), value.map(Bytes::from)))
                        .collect(),
                };
                expected.apply(&update);
                for (key, value) in records(&update, expected.position.as_ref(), "c", &topics) {
                    stored.apply(Some(&key), value.as_deref()).unwrap();
                }
            }
            prop_assert_eq!(&stored.checkpoint, &expected);
            prop_assert_eq!(&*stored.cluster, "c");
            prop_assert_eq!(stored.topics, topics);
        }

        #[test]
        fn no_bytes_make_it_panic(key: Vec<u8>, value: Option<Vec<u8>>) {
            Stored::default().apply(Some(&key), value.as_deref()).ok();
            Stored::default().apply(Some(POSITION), value.as_deref()).ok();
            Stored::default().apply(Some(b"topic:t"), value.as_deref()).ok();
        }
    }

    #[test]
    fn a_later_version_is_refused() {
        let refused = Stored::default().apply(Some(b"entry:a"), Some(&[2, 0]));
        assert_eq!(refused, Err("it was written by a later version"));
    }
}
