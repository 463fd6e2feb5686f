//! What every sink keeps. Instantiate with [`crate::sink_contract!`].

#![expect(async_fn_in_trait, reason = "fixtures run on the test's own task")]
#![expect(clippy::missing_panics_doc, reason = "a law fails by panicking")]

mod parked;
mod shared;

use std::sync::Arc;

use cdc_model::{
    ChangeEvent, Column, ColumnType, ImageKind, Offset, Op, Row, RowImage, TableSchema, TopicId,
    TopicPartition, Value,
};
use cdc_pipeline::port::{OffsetRange, ParkedRecord, Sink, SinkBatch, SinkChange, SinkState};
use cdc_pipeline::{Classify, ErrorClass};

use crate::fixture::{delete, insert, log_record, origin, partition, row, table, truncate, update};

pub use parked::{
    a_record_given_up_changes_nothing, a_settled_record_is_applied_once,
    parked_records_are_listed_as_they_came, parked_records_are_settled_in_order,
};
pub use shared::{
    Claimed, a_batch_that_starts_elsewhere_is_refused_and_changes_nothing,
    a_batch_with_one_partition_taken_is_refused_whole, a_claim_fences_what_is_still_under_way,
    a_claim_tells_what_the_store_holds_of_it, opening_a_shared_sink_disturbs_nobody,
    parked_keys_travel_with_their_partition, partitions_are_written_side_by_side,
    two_owners_of_a_partition_apply_each_record_once, what_was_not_claimed_is_refused,
};

/// Gives the sink under test, on one store that starts empty and outlives the sinks.
pub trait SinkFixture {
    /// The sink under test.
    type Sink: Sink;

    /// Opens a sink on the store; called again, the new one competes with the old one, unless that
    /// was dropped.
    async fn open(&self) -> Self::Sink;

    /// Returns the rows of `table` as the sink shows them to its users: one text for each of the
    /// schema's columns (`None` is NULL), rows sorted. Empty if there is no such table.
    async fn rows(&self, sink: &mut Self::Sink, table: &TableSchema) -> Vec<Vec<Option<String>>>;
}

/// Makes a test of each law. `$fixture` is an expression of a future of a [`sink::SinkFixture`].
///
/// [`sink::SinkFixture`]: crate::contract::sink::SinkFixture
#[macro_export]
macro_rules! sink_contract {
    ($fixture:expr) => {
        $crate::sink_contract!(@every $fixture);
        $crate::sink_contract!(@exclusive $fixture);
        $crate::sink_contract!(@ $fixture, an_unchanged_column_of_an_absent_row_halts);
    };
    // Of every sink, whoever else writes to it and whatever it keeps.
    (@every $fixture:expr) => {
        $crate::sink_contract!(@ $fixture,
            a_new_sink_holds_nothing
            rows_are_visible_after_ok
            offsets_survive_a_reopening
            a_gap_in_offsets_is_refused
            another_topic_of_the_same_name_is_refused
            order_per_key_is_kept_in_a_batch
            a_key_change_leaves_one_row
            an_absent_row_may_be_deleted
            an_unchanged_column_keeps_its_value
            an_unchanged_column_survives_a_key_change_in_one_batch
            a_truncate_empties_one_table
            a_truncate_need_not_tell_the_key
            a_column_may_be_added_midway
            without_a_key_a_delete_removes_one_of_equal_rows
            a_truncate_ends_parked_keys
            parked_records_are_listed_as_they_came
            a_settled_record_is_applied_once
            a_record_given_up_changes_nothing
            parked_records_are_settled_in_order
            a_newer_sink_fences_the_older);
    };
    // Of a sink that one process writes to: what was applied may be repeated.
    (@exclusive $fixture:expr) => {
        $crate::sink_contract!(@ $fixture,
            the_same_batch_twice_counts_once
            an_overlapping_replay_counts_once
            parked_records_move_with_the_offsets
            a_dropped_apply_may_be_repeated);
    };
    (@ $fixture:expr, $($law:ident)*) => {
        $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $law() {
            $crate::contract::sink::$law(&$fixture.await).await;
        })*
    };
}

/// Feeds one partition of one topic.
struct Feed {
    source: TopicPartition,
    topic_id: TopicId,
    next: i64,
}

impl Feed {
    fn new(topic: &str) -> Self {
        let topic_id = TopicId(format!("id of {topic}").into());
        Self { source: partition(topic), topic_id, next: 0 }
    }

    /// A batch of `events` at the next offsets.
    fn batch(&mut self, state: &SinkState, events: Vec<ChangeEvent>) -> SinkBatch {
        let first = self.next;
        self.next += i64::try_from(events.len()).expect("few events");
        let change = |(offset, event)| SinkChange {
            source: self.source.clone(),
            offset: Offset(offset),
            event,
        };
        SinkBatch {
            generation: state.generation,
            epoch: state.epoch,
            ranges: vec![self.range(first, self.next)],
            changes: (first..).zip(events).map(change).collect(),
            park: Vec::new(),
            unpark_below: Vec::new(),
        }
    }

    fn range(&self, first: i64, next: i64) -> OffsetRange {
        OffsetRange {
            source: self.source.clone(),
            topic_id: self.topic_id.clone(),
            first: Offset(first),
            next: Offset(next),
        }
    }
}

fn t() -> Arc<TableSchema> {
    table("t")
}

fn texts(rows: &[(i64, &str)]) -> Vec<Vec<Option<String>>> {
    rows.iter().map(|(id, v)| vec![Some(id.to_string()), Some((*v).to_owned())]).collect()
}

async fn start<F: SinkFixture>(fixture: &F) -> (F::Sink, SinkState, Feed) {
    let mut sink = fixture.open().await;
    let state = sink.resume().await.expect("resumes");
    (sink, state, Feed::new("s.public.t"))
}

async fn apply<S: Sink>(sink: &mut S, batch: SinkBatch) {
    sink.apply(Arc::new(batch)).await.expect("applies");
}

/// There is nothing before the first batch.
pub async fn a_new_sink_holds_nothing(fixture: &impl SinkFixture) {
    let (mut sink, state, _) = start(fixture).await;
    assert!(state.offsets.is_empty() && state.parked.is_empty(), "{state:?}");
    assert!(fixture.rows(&mut sink, &t()).await.is_empty());
}

/// `Ok` means that users see it.
pub async fn rows_are_visible_after_ok(fixture: &impl SinkFixture) {
    let (mut sink, state, mut feed) = start(fixture).await;
    let events = vec![
        insert(&t(), origin(1, 0), 1, "a"),
        insert(&t(), origin(1, 1), 2, ""),
        update(&t(), origin(2, 0), row(1, "b")),
    ];
    apply(&mut sink, feed.batch(&state, events)).await;
    assert_eq!(fixture.rows(&mut sink, &t()).await, texts(&[(1, "b"), (2, "")]));
}

/// Repeating a batch changes nothing.
pub async fn the_same_batch_twice_counts_once(fixture: &impl SinkFixture) {
    let (mut sink, state, mut feed) = start(fixture).await;
    let first = feed.batch(&state, vec![insert(&t(), origin(1, 0), 1, "a")]);
    let second = feed.batch(&state, vec![delete(&t(), origin(2, 0), 1)]);
    for batch in [&first, &second, &first, &second, &first] {
        apply(&mut sink, batch.clone()).await;
    }
    assert!(fixture.rows(&mut sink, &t()).await.is_empty());
}

/// Of a batch that overlaps what was applied, only the new part counts.
pub async fn an_overlapping_replay_counts_once(fixture: &impl SinkFixture) {
    let (mut sink, state, mut feed) = start(fixture).await;
    let events = vec![
        insert(&t(), origin(1, 0), 1, "a"),
        update(&t(), origin(2, 0), row(1, "b")),
        insert(&t(), origin(3, 0), 2, "c"),
    ];
    let all = feed.batch(&state, events);
    let mut prefix = all.clone();
    prefix.changes.truncate(2);
    prefix.ranges[0].next = Offset(2);
    apply(&mut sink, prefix).await;
    apply(&mut sink, all).await;
    assert_eq!(fixture.rows(&mut sink, &t()).await, texts(&[(1, "b"), (2, "c")]));
    assert_eq!(sink.resume().await.expect("resumes").offsets[&feed.source].1, Offset(3));
}

/// A store opened again goes on at the last `Ok`.
pub async fn offsets_survive_a_reopening(fixture: &impl SinkFixture) {
    let (mut sink, state, mut feed) = start(fixture).await;
    apply(&mut sink, feed.batch(&state, vec![insert(&t(), origin(1, 0), 1, "a")])).await;
    drop(sink);
    let mut again = fixture.open().await;
    let resumed = again.resume().await.expect("resumes");
    assert!(resumed.epoch > state.epoch, "{resumed:?} after {state:?}");
    let expected = (feed.topic_id.clone(), Offset(1));
    assert_eq!(resumed.offsets.get(&feed.source), Some(&expected));
    assert_eq!(fixture.rows(&mut again, &t()).await, texts(&[(1, "a")]));
}

/// Records between two batches cannot go missing unseen.
pub async fn a_gap_in_offsets_is_refused(fixture: &impl SinkFixture) {
    let (mut sink, state, mut feed) = start(fixture).await;
    apply(&mut sink, feed.batch(&state, vec![insert(&t(), origin(1, 0), 1, "a")])).await;
    feed.next += 1;
    let gap = feed.batch(&state, vec![insert(&t(), origin(2, 0), 2, "b")]);
    let error = sink.apply(Arc::new(gap)).await.expect_err("is refused");
    assert_eq!(error.class(), ErrorClass::Fatal, "{error}");
    let resumed = sink.resume().await.expect("resumes");
    assert_eq!(resumed.offsets[&feed.source].1, Offset(1));
}

/// A store whose log was deleted does not go on with another log.
pub async fn another_topic_of_the_same_name_is_refused(fixture: &impl SinkFixture) {
    let (mut sink, state, mut feed) = start(fixture).await;
    apply(&mut sink, feed.batch(&state, vec![insert(&t(), origin(1, 0), 1, "a")])).await;
    feed.topic_id = TopicId("another".into());
    let foreign = feed.batch(&state, vec![insert(&t(), origin(2, 0), 2, "b")]);
    let error = sink.apply(Arc::new(foreign)).await.expect_err("is refused");
    assert_eq!(error.class(), ErrorClass::Fatal, "{error}");
}

/// Within one batch the last change of a key wins, whatever lies between.
pub async fn order_per_key_is_kept_in_a_batch(fixture: &impl SinkFixture) {
    let (mut sink, state, mut feed) = start(fixture).await;
    let mut events = Vec::new();
    for round in 0..5 {
        for id in 0..20 {
            events.push(match (round + id) % 3 {
                0 => insert(&t(), origin(1, 0), id, format!("{round}")),
                1 => update(&t(), origin(1, 0), row(id, format!("{round}"))),
                _ => delete(&t(), origin(1, 0), id),
            });
        }
    }
    apply(&mut sink, feed.batch(&state, events)).await;
    let mut expected: Vec<_> = (0..20_i64).filter(|id| (4 + id) % 3 != 2).collect();
    expected.sort_by_key(i64::to_string);
    let expected: Vec<_> = expected.into_iter().map(|id| (id, "4")).collect();
    let mut rows = fixture.rows(&mut sink, &t()).await;
    rows.sort();
    assert_eq!(rows, texts(&expected));
}

/// A key change arrives as delete and create.
pub async fn a_key_change_leaves_one_row(fixture: &impl SinkFixture) {
    let (mut sink, state, mut feed) = start(fixture).await;
    apply(&mut sink, feed.batch(&state, vec![insert(&t(), origin(1, 0), 1, "a")])).await;
    let events = vec![delete(&t(), origin(2, 0), 1), insert(&t(), origin(2, 0), 9, "a")];
    apply(&mut sink, feed.batch(&state, events)).await;
    assert_eq!(fixture.rows(&mut sink, &t()).await, texts(&[(9, "a")]));
}

/// Deleting what is not there is fine.
pub async fn an_absent_row_may_be_deleted(fixture: &impl SinkFixture) {
    let (mut sink, state, mut feed) = start(fixture).await;
    apply(&mut sink, feed.batch(&state, vec![delete(&t(), origin(1, 0), 1)])).await;
    assert!(fixture.rows(&mut sink, &t()).await.is_empty());
}

fn unchanged(id: i64) -> Row {
    Row::new(vec![Value::Int64(id), Value::Unchanged])
}

/// Unchanged is not NULL: in the same batch as the row, and in a later one.
pub async fn an_unchanged_column_keeps_its_value(fixture: &impl SinkFixture) {
    let (mut sink, state, mut feed) = start(fixture).await;
    let events = vec![
        insert(&t(), origin(1, 0), 1, "a"),
        insert(&t(), origin(1, 1), 2, "b"),
        update(&t(), origin(2, 0), unchanged(1)),
    ];
    apply(&mut sink, feed.batch(&state, events)).await;
    let later = vec![update(&t(), origin(3, 0), unchanged(2))];
    apply(&mut sink, feed.batch(&state, later)).await;
    assert_eq!(fixture.rows(&mut sink, &t()).await, texts(&[(1, "a"), (2, "b")]));
}

/// A key change copies unchanged columns from the old row.
pub async fn an_unchanged_column_survives_a_key_change_in_one_batch(fixture: &impl SinkFixture) {
    let (mut sink, state, mut feed) = start(fixture).await;
    apply(&mut sink, feed.batch(&state, vec![insert(&t(), origin(1, 0), 1, "a")])).await;
    let create = ChangeEvent {
        op: Op::Create,
        before: Some(crate::fixture::key_image(1)),
        ..update(&t(), origin(2, 0), unchanged(9))
    };
    let events = vec![delete(&t(), origin(2, 0), 1), create];
    apply(&mut sink, feed.batch(&state, events)).await;
    assert_eq!(fixture.rows(&mut sink, &t()).await, texts(&[(9, "a")]));
}

/// Without the old row, an unchanged column cannot be known: halt, never NULL.
pub async fn an_unchanged_column_of_an_absent_row_halts(fixture: &impl SinkFixture) {
    let (mut sink, state, mut feed) = start(fixture).await;
    let batch = feed.batch(&state, vec![update(&t(), origin(1, 0), unchanged(1))]);
    let error = sink.apply(Arc::new(batch)).await.expect_err("halts");
    assert_eq!(error.class(), ErrorClass::Fatal, "{error}");
}

/// A truncate empties its table and no other, and rows after it stay.
pub async fn a_truncate_empties_one_table(fixture: &impl SinkFixture) {
    let (mut sink, state, mut feed) = start(fixture).await;
    let other = table("other");
    let mut second = Feed::new("s.public.other");
    let rows = vec![insert(&other, origin(1, 0), 7, "keep")];
    apply(&mut sink, second.batch(&state, rows)).await;
    let events = vec![insert(&t(), origin(1, 1), 1, "a"), insert(&t(), origin(1, 2), 2, "b")];
    apply(&mut sink, feed.batch(&state, events)).await;
    let events = vec![
        insert(&t(), origin(2, 0), 3, "c"),
        truncate(&t(), origin(2, 1)),
        insert(&t(), origin(2, 2), 4, "d"),
    ];
    apply(&mut sink, feed.batch(&state, events)).await;
    assert_eq!(fixture.rows(&mut sink, &t()).await, texts(&[(4, "d")]));
    assert_eq!(fixture.rows(&mut sink, &other).await, texts(&[(7, "keep")]));
}

/// A truncate that is read before any row does not tell its table's key: a sink goes by what it has.
pub async fn a_truncate_need_not_tell_the_key(fixture: &impl SinkFixture) {
    let (mut sink, state, mut feed) = start(fixture).await;
    let mut keyless = TableSchema::clone(&t());
    keyless.key.clear();
    let keyless = Arc::new(keyless);
    apply(&mut sink, feed.batch(&state, vec![truncate(&keyless, origin(1, 0))])).await;
    let events = vec![insert(&t(), origin(2, 0), 1, "a"), insert(&t(), origin(2, 1), 2, "b")];
    apply(&mut sink, feed.batch(&state, events)).await;
    assert_eq!(fixture.rows(&mut sink, &t()).await, texts(&[(1, "a"), (2, "b")]));
    apply(&mut sink, feed.batch(&state, vec![truncate(&keyless, origin(3, 0))])).await;
    let events = vec![
        insert(&t(), origin(4, 0), 3, "c"),
        truncate(&keyless, origin(4, 1)),
        insert(&t(), origin(4, 2), 4, "d"),
        update(&t(), origin(4, 3), row(4, "e")),
    ];
    apply(&mut sink, feed.batch(&state, events)).await;
    assert_eq!(fixture.rows(&mut sink, &t()).await, texts(&[(4, "e")]));
}

/// A nullable column appears; old rows have NULL in it.
pub async fn a_column_may_be_added_midway(fixture: &impl SinkFixture) {
    let (mut sink, state, mut feed) = start(fixture).await;
    let mut wide = TableSchema::clone(&t());
    wide.columns.push(Column::new("w", ColumnType::Int32));
    let wide = Arc::new(wide);
    let after = Row::new(vec![Value::Int64(2), Value::text("b"), Value::Int32(5)]);
    let events = vec![insert(&t(), origin(1, 0), 1, "a"), update(&wide, origin(2, 0), after)];
    apply(&mut sink, feed.batch(&state, events)).await;
    let text = |s: &str| Some(s.to_owned());
    let expected = [vec![text("1"), text("a"), None], vec![text("2"), text("b"), text("5")]];
    assert_eq!(fixture.rows(&mut sink, &wide).await, expected);
}

/// Equal rows of a table without a key are deleted one at a time.
pub async fn without_a_key_a_delete_removes_one_of_equal_rows(fixture: &impl SinkFixture) {
    let (mut sink, state, mut feed) = start(fixture).await;
    let mut keyless = TableSchema::clone(&t());
    keyless.key.clear();
    let keyless = Arc::new(keyless);
    let full = |id, v: &str| Some(RowImage { row: row(id, v), kind: ImageKind::Full });
    let events = vec![
        insert(&keyless, origin(1, 0), 1, "same"),
        insert(&keyless, origin(1, 1), 1, "same"),
        insert(&keyless, origin(1, 2), 1, "same"),
        insert(&keyless, origin(1, 3), 2, "other"),
    ];
    apply(&mut sink, feed.batch(&state, events)).await;
    let deleted = ChangeEvent { before: full(1, "same"), ..delete(&keyless, origin(2, 0), 1) };
    let updated = update(&keyless, origin(2, 1), row(3, "moved"));
    let updated = ChangeEvent { before: full(2, "other"), ..updated };
    apply(&mut sink, feed.batch(&state, vec![deleted, updated])).await;
    let expected = texts(&[(1, "same"), (1, "same"), (3, "moved")]);
    assert_eq!(fixture.rows(&mut sink, &keyless).await, expected);
}

/// Parked records are as durable as rows, and count once.
pub async fn parked_records_move_with_the_offsets(fixture: &impl SinkFixture) {
    let (mut sink, state, mut feed) = start(fixture).await;
    let mut batch = feed.batch(&state, vec![insert(&t(), origin(1, 0), 1, "a")]);
    feed.next += 1;
    batch.ranges[0].next = Offset(feed.next);
    let record = log_record(&feed.source, 1, "key", "poison");
    batch.park = vec![ParkedRecord { record, reason: "never fits".to_owned() }];
    apply(&mut sink, batch.clone()).await;
    apply(&mut sink, batch).await;
    drop(sink);
    let resumed = fixture.open().await.resume().await.expect("resumes");
    assert_eq!(resumed.parked, [(feed.source.clone(), "key".into())]);
    assert_eq!(resumed.offsets[&feed.source].1, Offset(2));
}

/// What a truncate has passed is no longer parked; what came after it still is.
pub async fn a_truncate_ends_parked_keys(fixture: &impl SinkFixture) {
    let (mut sink, state, mut feed) = start(fixture).await;
    let mut batch = feed.batch(&state, Vec::new());
    feed.next = 4;
    batch.ranges[0].next = Offset(4);
    let parked = |offset, key| ParkedRecord {
        record: log_record(&feed.source, offset, key, "poison"),
        reason: "never fits".to_owned(),
    };
    batch.park = vec![parked(0, "before"), parked(3, "after")];
    apply(&mut sink, batch).await;
    let mut batch = feed.batch(&state, vec![truncate(&t(), origin(2, 0))]);
    batch.unpark_below = vec![(feed.source.clone(), Offset(2))];
    apply(&mut sink, batch).await;
    let resumed = sink.resume().await.expect("resumes");
    assert_eq!(resumed.parked, [(feed.source.clone(), "after".into())]);
}

/// Dropping an apply half-way leaves all of it or nothing, and repeating it is safe.
pub async fn a_dropped_apply_may_be_repeated(fixture: &impl SinkFixture) {
    let (mut sink, mut state, mut feed) = start(fixture).await;
    let keyless = Arc::new(TableSchema { key: Vec::new(), ..TableSchema::clone(&t()) });
    for attempt in 0_u32..4 {
        let events = vec![insert(&keyless, origin(1, 0), i64::from(attempt), "once")];
        let mut batch = feed.batch(&state, events);
        let patience = std::time::Duration::from_micros(200) * attempt;
        let dropped = tokio::time::timeout(patience, sink.apply(Arc::new(batch.clone()))).await;
        state = sink.resume().await.expect("resumes");
        if let Ok(outcome) = dropped {
            outcome.expect("applies");
        }
        batch.epoch = state.epoch;
        apply(&mut sink, batch).await;
    }
    let expected = texts(&[(0, "once"), (1, "once"), (2, "once"), (3, "once")]);
    assert_eq!(fixture.rows(&mut sink, &keyless).await, expected);
}

/// Of two sinks on one store only the one resumed last can write. A store that admits one process
/// only may refuse the second instead; then the first goes on.
pub async fn a_newer_sink_fences_the_older(fixture: &impl SinkFixture) {
    let (mut old, state, mut feed) = start(fixture).await;
    let mut new = fixture.open().await;
    let newer = new.resume().await.expect("resumes");
    assert!(newer.epoch > state.epoch);
    let batch = feed.batch(&state, vec![insert(&t(), origin(1, 0), 1, "zombie")]);
    let error = old.apply(Arc::new(batch.clone())).await.expect_err("is fenced");
    assert_eq!(error.class(), ErrorClass::Fenced, "{error}");
    apply(&mut new, SinkBatch { epoch: newer.epoch, ..batch }).await;
}
