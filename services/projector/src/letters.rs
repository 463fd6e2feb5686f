//! Dead letters: what a projection has parked, listed, replayed and given up.

use cdc_control::{Settlement, v1};
use cdc_model::{Offset, Partition, Topic, TopicPartition};
use cdc_pipeline::port::ParkedRecord;
use cdc_pipeline::project::{DeskError, Selection};
use tonic::Status;

use crate::projection::Projection;
use crate::service::Projector;
use crate::tail::describe;

/// How a follower's reason begins, as the project loop words it.
const FOLLOWS: [&str; 2] = ["follows a parked record", "takes columns from a parked row"];

/// Parked records that are looked through for a page or for one of them; as many as are settled at
/// once.
const LISTED_MAX: usize = 100_000;

impl Projector {
    /// Lists parked records of one projection, or of all.
    ///
    /// # Errors
    /// `NOT_FOUND` if there is no such projection, `UNAVAILABLE` while it does not run.
    pub async fn dead_letters(
        &self,
        request: v1::ListDeadLettersRequest,
    ) -> Result<v1::ListDeadLettersReply, Status> {
        let asked: Vec<&Projection> = match request.projection.as_str() {
            "" => self.projections.iter().collect(),
            name => vec![self.find(name)?],
        };
        if let Some(letter) = request.only {
            return self.dead_letter(asked, place(letter)).await;
        }
        let limit = usize::try_from(request.limit).unwrap_or(usize::MAX);
        let mut skip = u64::from(request.skip);
        let mut reply = v1::ListDeadLettersReply::default();
        for projection in asked {
            let wanted = limit.saturating_sub(reply.letters.len());
            let passed = usize::try_from(skip).unwrap_or(usize::MAX);
            let (parked, total) = list(projection, passed.saturating_add(wanted)).await?;
            reply.total += total;
            for parked in parked.into_iter().skip(passed).take(wanted) {
                reply.letters.push(self.letter(projection.name, parked).await);
            }
            skip = skip.saturating_sub(total);
        }
        Ok(reply)
    }

    /// Tells one parked record, and how many of its key there are.
    async fn dead_letter(
        &self,
        asked: Vec<&Projection>,
        (source, offset): (TopicPartition, Offset),
    ) -> Result<v1::ListDeadLettersReply, Status> {
        for projection in asked {
            let (parked, _) = list(projection, LISTED_MAX).await?;
            let is_it =
                |one: &ParkedRecord| one.record.source == source && one.record.offset == offset;
            let Some(found) = parked.iter().find(|one| is_it(one)).cloned() else { continue };
            let key = &found.record.key;
            let of_key =
                |one: &&ParkedRecord| one.record.source == source && one.record.key == *key;
            let total = u64::try_from(parked.iter().filter(of_key).count()).unwrap_or(u64::MAX);
            let letters = vec![self.letter(projection.name, found).await];
            return Ok(v1::ListDeadLettersReply { letters, total });
        }
        Ok(v1::ListDeadLettersReply::default())
    }

    /// Applies parked records, or gives them up.
    ///
    /// # Errors
    /// As [`Projector::dead_letters`].
    pub async fn settle(
        &self,
        request: v1::SettleRequest,
        settlement: Settlement,
    ) -> Result<v1::SettleReply, Status> {
        let projection = self.find(&request.projection)?;
        let selection = match request.letters.is_empty() {
            true => Selection::All,
            false => Selection::Records(request.letters.into_iter().map(place).collect()),
        };
        let settled = match settlement {
            Settlement::Replay => projection.desk.replay(selection).await,
            Settlement::Discard => projection.desk.discard(selection).await,
        };
        let settled = settled.map_err(|error| failed(&error))?;
        let mut refused = Vec::new();
        for parked in settled.refused {
            refused.push(self.letter(projection.name, parked).await);
        }
        Ok(v1::SettleReply { settled: settled.settled, refused })
    }

    async fn letter(&self, projection: &str, parked: ParkedRecord) -> v1::DeadLetter {
        let ParkedRecord { record, reason } = parked;
        // What cannot be decoded is shown by its bytes.
        let decoded = describe(&mut self.decoder(), &record).await.unwrap_or_default();
        v1::DeadLetter {
            projection: projection.to_owned(),
            topic: record.source.topic.to_string(),
            partition: u32::try_from(record.source.partition.0).unwrap_or(0),
            offset: record.offset.0,
            timestamp_ms: record.timestamp_ms,
            is_follower: FOLLOWS.iter().any(|text| reason.starts_with(text)),
            reason,
            key: decoded.key,
            value_json: decoded.value_json,
            schema_id: record.value.as_ref().and_then(|value| schema_id(value)),
            raw_key: record.key.map(Into::into),
            raw_value: record.value.map(Into::into),
            headers: record
                .headers
                .into_iter()
                .map(|h| v1::RecordHeader { name: h.name.to_string(), value: h.value.into() })
                .collect(),
        }
    }
}

async fn list(projection: &Projection, limit: usize) -> Result<(Vec<ParkedRecord>, u64), Status> {
    let listed = projection.desk.list(limit.min(LISTED_MAX)).await;
    listed.map_err(|error| failed(&error))
}

/// The id in Confluent's framing: a zero, then four bytes, big-endian.
fn schema_id(value: &[u8]) -> Option<u32> {
    let (frame, _) = value.split_first_chunk::<5>()?;
    let [0, a, b, c, d] = *frame else { return None };
    Some(u32::from_be_bytes([a, b, c, d]))
}

fn place(letter: v1::LetterId) -> (TopicPartition, Offset) {
    let partition = Partition(i32::try_from(letter.partition).unwrap_or(i32::MAX));
    let source = TopicPartition { topic: Topic::new(letter.topic), partition };
    (source, Offset(letter.offset))
}

fn failed(error: &DeskError) -> Status {
    Status::unavailable(error.to_string())
}
