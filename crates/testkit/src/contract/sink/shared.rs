//! What a sink keeps that several replicas share. Instantiate with [`crate::shared_sink_contract!`].
//!
//! The laws of rows, keys and parked records are those of every sink, told through [`Claimed`]. Those
//! on repeating what was applied are not: a shared sink refuses it.

use std::sync::Arc;

use cdc_model::{ChangeEvent, Offset, TableSchema, TopicPartition};
use cdc_pipeline::port::{
    ParkedRecord, SettleBatch, Settlement, Sharing, Sink, SinkBatch, SinkKind, SinkState,
};
use cdc_pipeline::{Classify, ErrorClass};

use super::{Feed, SinkFixture, apply, t, texts};
use crate::fixture::{insert, log_record, origin, partition, row, update};

/// Makes a test of each law. `$fixture` is an expression of a future of a [`sink::SinkFixture`] whose
/// sinks are [`Sharing::Partitioned`].
///
/// [`sink::SinkFixture`]: crate::contract::sink::SinkFixture
/// [`Sharing::Partitioned`]: cdc_pipeline::port::Sharing::Partitioned
#[macro_export]
macro_rules! shared_sink_contract {
    ($fixture:expr) => {
        $crate::sink_contract!(@ $fixture,
            a_claim_tells_what_the_store_holds_of_it
            opening_a_shared_sink_disturbs_nobody
            what_was_not_claimed_is_refused
            two_owners_of_a_partition_apply_each_record_once
            a_batch_that_starts_elsewhere_is_refused_and_changes_nothing
            a_batch_with_one_partition_taken_is_refused_whole
            partitions_are_written_side_by_side
            a_claim_fences_what_is_still_under_way
            parked_keys_travel_with_their_partition);
        $crate::sink_contract!(@every async {
            $crate::contract::sink::Claimed($fixture.await)
        });
        $crate::sink_contract!(@ async {
                $crate::contract::sink::Claimed($fixture.await)
            },
            an_unchanged_column_of_an_absent_row_halts);
    };
}

/// A shared sink as one replica has it that owns every partition of the laws: resuming claims them.
#[derive(Debug)]
pub struct Claimed<P>(pub P);

impl<F: SinkFixture> SinkFixture for Claimed<F> {
    type Sink = Claimed<F::Sink>;

    async fn open(&self) -> Self::Sink {
        Claimed(self.0.open().await)
    }

    async fn rows(&self, sink: &mut Self::Sink, table: &TableSchema) -> Vec<Vec<Option<String>>> {
        self.0.rows(&mut sink.0, table).await
    }
}

impl<K: Sink> Sink for Claimed<K> {
    type Error = K::Error;

    fn kind(&self) -> SinkKind {
        self.0.kind()
    }

    async fn resume(&mut self) -> Result<SinkState, Self::Error> {
        self.0.resume().await?;
        self.0.claim(vec![partition("s.public.t"), partition("s.public.other")]).await
    }

    async fn apply(&mut self, batch: Arc<SinkBatch>) -> Result<(), Self::Error> {
        self.0.apply(batch).await
    }

    async fn parked(&mut self, limit: usize) -> Result<(Vec<ParkedRecord>, u64), Self::Error> {
        self.0.parked(limit).await
    }

    async fn settle(&mut self, batch: Arc<SettleBatch>) -> Result<(), Self::Error> {
        self.0.settle(batch).await
    }
}

/// A replica that has claimed `of`, and what the claim told.
async fn replica<F: SinkFixture>(fixture: &F, of: &[&Feed]) -> (F::Sink, SinkState) {
    let mut sink = fixture.open().await;
    assert_eq!(sink.kind().sharing, Sharing::Partitioned);
    sink.resume().await.expect("resumes");
    let claimed = claim(&mut sink, of).await;
    (sink, claimed)
}

async fn claim<S: Sink>(sink: &mut S, of: &[&Feed]) -> SinkState {
    let partitions = of.iter().map(|feed| feed.source.clone()).collect();
    sink.claim(partitions).await.expect("claims")
}

async fn refused<S: Sink>(sink: &mut S, batch: SinkBatch, class: ErrorClass) {
    let error = sink.apply(Arc::new(batch)).await.expect_err("is refused");
    assert_eq!(error.class(), class, "{error}");
}

/// A table whose every applied insert is a row of its own, so that doubling shows.
fn keyless() -> Arc<TableSchema> {
    Arc::new(TableSchema { key: Vec::new(), ..TableSchema::clone(&t()) })
}

fn rows(ids: std::ops::Range<i64>) -> Vec<ChangeEvent> {
    ids.map(|id| insert(&keyless(), origin(1, 0), id, "once")).collect()
}

async fn ids<F: SinkFixture>(fixture: &F, sink: &mut F::Sink) -> Vec<String> {
    let rows = fixture.rows(sink, &keyless()).await;
    rows.into_iter().filter_map(|row| row.into_iter().next().flatten()).collect()
}

fn next_of(state: &SinkState, source: &TopicPartition) -> Option<Offset> {
    state.offsets.get(source).map(|(_, next)| *next)
}

/// A claim tells offsets and parked keys of the partitions claimed, and of no other.
pub async fn a_claim_tells_what_the_store_holds_of_it(fixture: &impl SinkFixture) {
    let (mut mine, mut other) = (Feed::new("s.public.t"), Feed::new("s.public.other"));
    let (mut sink, state) = replica(fixture, &[&mine, &other]).await;
    assert!(state.offsets.is_empty() && state.parked.is_empty(), "{state:?}");
    for feed in [&mut mine, &mut other] {
        let mut batch = feed.batch(&state, rows(0..2));
        let record = log_record(&feed.source, 1, "key", "poison");
        batch.park = vec![ParkedRecord { record, reason: "never fits".to_owned() }];
        apply(&mut sink, batch).await;
    }
    let (_, told) = replica(fixture, &[&mine]).await;
    let expected = [(mine.source.clone(), (mine.topic_id.clone(), Offset(2)))];
    assert_eq!(told.offsets, expected.into());
    assert_eq!(told.parked, [(mine.source.clone(), "key".into())]);
    assert!(told.epoch > state.epoch);
}

/// A replica that has not been dealt anything yet stops no other; it is told every offset.
pub async fn opening_a_shared_sink_disturbs_nobody(fixture: &impl SinkFixture) {
    let mut feed = Feed::new("s.public.t");
    let (mut owner, state) = replica(fixture, &[&feed]).await;
    apply(&mut owner, feed.batch(&state, rows(0..1))).await;
    let mut idle = fixture.open().await;
    let told = idle.resume().await.expect("resumes");
    assert_eq!(next_of(&told, &feed.source), Some(Offset(1)));
    assert_eq!(told.parked, []);
    apply(&mut owner, feed.batch(&state, rows(1..2))).await;
    assert_eq!(ids(fixture, &mut owner).await, ["0", "1"]);
}

/// Without a claim nothing is written, not even to a partition that nobody has.
pub async fn what_was_not_claimed_is_refused(fixture: &impl SinkFixture) {
    let (mut feed, other) = (Feed::new("s.public.t"), Feed::new("s.public.other"));
    let (mut sink, state) = replica(fixture, &[&other]).await;
    refused(&mut sink, feed.batch(&state, rows(0..1)), ErrorClass::Fenced).await;
    let state = sink.resume().await.expect("resumes");
    assert!(state.offsets.is_empty(), "{state:?}");
    feed.next = 0;
    refused(&mut sink, feed.batch(&state, rows(0..1)), ErrorClass::Fenced).await;
    assert!(ids(fixture, &mut sink).await.is_empty());
}

/// Two replicas that both believe in owning a partition: the one that claimed it last does, and each
/// record counts once, however often it changes hands.
pub async fn two_owners_of_a_partition_apply_each_record_once(fixture: &impl SinkFixture) {
    let mut feed = Feed::new("s.public.t");
    let (mut a, mut a_state) = replica(fixture, &[&feed]).await;
    let (mut b, mut b_state) = replica(fixture, &[&feed]).await;
    for round in 0..4 {
        // The newer owner applies what the older one is about to apply.
        let batch = feed.batch(&b_state, rows(round..round + 1));
        apply(&mut b, batch.clone()).await;
        let late = SinkBatch { epoch: a_state.epoch, ..batch };
        refused(&mut a, late, ErrorClass::Fenced).await;
        a.resume().await.expect("resumes");
        a_state = claim(&mut a, &[&feed]).await;
        assert_eq!(next_of(&a_state, &feed.source), Some(Offset(feed.next)));
        (a, b) = (b, a);
        (a_state, b_state) = (b_state, a_state);
    }
    assert_eq!(ids(fixture, &mut b).await, ["0", "1", "2", "3"]);
}

/// Also its rightful owner cannot apply to a partition but from where it goes on.
pub async fn a_batch_that_starts_elsewhere_is_refused_and_changes_nothing(
    fixture: &impl SinkFixture,
) {
    let mut feed = Feed::new("s.public.t");
    let (mut sink, mut state) = replica(fixture, &[&feed]).await;
    let applied = feed.batch(&state, rows(0..2));
    apply(&mut sink, applied.clone()).await;
    let mut overlapping = feed.batch(&state, rows(2..4));
    overlapping.ranges[0].first = Offset(1);
    let mut gaping = overlapping.clone();
    gaping.ranges[0].first = Offset(3);
    for batch in [applied, overlapping, gaping] {
        let batch = SinkBatch { epoch: state.epoch, ..batch };
        refused(&mut sink, batch, ErrorClass::Fatal).await;
        sink.resume().await.expect("resumes");
        state = claim(&mut sink, &[&feed]).await;
        assert_eq!(next_of(&state, &feed.source), Some(Offset(2)));
    }
    assert_eq!(ids(fixture, &mut sink).await, ["0", "1"]);
}

/// A batch is one transaction: a partition that is still its writer's does not go through alone.
pub async fn a_batch_with_one_partition_taken_is_refused_whole(fixture: &impl SinkFixture) {
    let (mut mine, mut taken) = (Feed::new("s.public.t"), Feed::new("s.public.other"));
    let (mut sink, state) = replica(fixture, &[&mine, &taken]).await;
    let (mut thief, _) = replica(fixture, &[&taken]).await;
    let mut batch = mine.batch(&state, rows(0..1));
    let second = taken.batch(&state, rows(1..2));
    batch.ranges.extend(second.ranges);
    batch.changes.extend(second.changes);
    refused(&mut sink, batch, ErrorClass::Fenced).await;
    let told = thief.resume().await.expect("resumes");
    assert!(told.offsets.is_empty(), "{told:?}");
    assert!(ids(fixture, &mut thief).await.is_empty());
}

/// Two replicas write their partitions in turns, and a claim of one's stops not the other.
pub async fn partitions_are_written_side_by_side(fixture: &impl SinkFixture) {
    let (mut left, mut right) = (Feed::new("s.public.t"), Feed::new("s.public.other"));
    let (mut a, a_state) = replica(fixture, &[&left]).await;
    let (mut b, b_state) = replica(fixture, &[&right]).await;
    for round in 0..3 {
        apply(&mut a, left.batch(&a_state, rows(round..round + 1))).await;
        apply(&mut b, right.batch(&b_state, rows(round + 10..round + 11))).await;
    }
    b.resume().await.expect("resumes");
    let again = claim(&mut b, &[&right]).await;
    assert_eq!(next_of(&again, &right.source), Some(Offset(3)));
    apply(&mut a, left.batch(&a_state, rows(3..4))).await;
    assert_eq!(ids(fixture, &mut a).await, ["0", "1", "10", "11", "12", "2", "3"]);
}

/// A replica that claims its partitions anew has nothing to fear of its own earlier apply: it took
/// effect before the claim told so, or never will.
pub async fn a_claim_fences_what_is_still_under_way(fixture: &impl SinkFixture) {
    let mut feed = Feed::new("s.public.t");
    let (mut sink, mut state) = replica(fixture, &[&feed]).await;
    for attempt in 0_u32..6 {
        let at = i64::from(attempt);
        let batch = feed.batch(&state, rows(at..at + 1));
        let patience = std::time::Duration::from_micros(200) * attempt;
        let dropped = tokio::time::timeout(patience, sink.apply(Arc::new(batch.clone()))).await;
        sink.resume().await.expect("resumes");
        let told = claim(&mut sink, &[&feed]).await;
        let next = next_of(&told, &feed.source).unwrap_or_default();
        assert!(next == Offset(at) || next == Offset(at + 1), "{next:?} after offset {at}");
        if let Ok(outcome) = dropped {
            outcome.expect("applies");
            assert_eq!(next, Offset(at + 1));
        }
        refused(&mut sink, batch.clone(), ErrorClass::Fenced).await;
        sink.resume().await.expect("resumes");
        state = claim(&mut sink, &[&feed]).await;
        assert_eq!(next_of(&state, &feed.source).unwrap_or_default(), next);
        if next == Offset(at) {
            apply(&mut sink, SinkBatch { epoch: state.epoch, ..batch }).await;
        }
    }
    assert_eq!(ids(fixture, &mut sink).await, ["0", "1", "2", "3", "4", "5"]);
}

/// The next owner finds the keys that are parked, and alone lists and settles their records.
pub async fn parked_keys_travel_with_their_partition(fixture: &impl SinkFixture) {
    let mut feed = Feed::new("s.public.t");
    let (mut a, a_state) = replica(fixture, &[&feed]).await;
    let mut batch = feed.batch(&a_state, vec![insert(&t(), origin(1, 0), 1, "a")]);
    feed.next += 1;
    batch.ranges[0].next = Offset(feed.next);
    let record = log_record(&feed.source, 1, "key", "poison");
    batch.park = vec![ParkedRecord { record, reason: "never fits".to_owned() }];
    apply(&mut a, batch).await;
    let settle = |state: &SinkState, v: &str| SettleBatch {
        generation: state.generation,
        epoch: state.epoch,
        settlements: vec![Settlement {
            source: partition("s.public.t"),
            offset: Offset(1),
            change: Some(update(&t(), origin(1, 1), row(1, v))),
        }],
    };
    let (mut b, b_state) = replica(fixture, &[&feed]).await;
    assert_eq!(b_state.parked, [(feed.source.clone(), "key".into())]);
    assert_eq!(a.parked(10).await.expect("lists"), (Vec::new(), 0), "it is another's now");
    assert_eq!(b.parked(10).await.expect("lists").1, 1);
    let error = a.settle(settle(&a_state, "zombie").into()).await.expect_err("is refused");
    assert_eq!(error.class(), ErrorClass::Fenced, "{error}");
    b.settle(settle(&b_state, "settled").into()).await.expect("settles");
    assert_eq!(b.parked(10).await.expect("lists").1, 0);
    assert_eq!(fixture.rows(&mut b, &t()).await, texts(&[(1, "settled")]));
}
