//! What becomes of parked records.

use std::sync::Arc;

use cdc_model::{ChangeEvent, Offset};
use cdc_pipeline::port::{ParkedRecord, SettleBatch, Settlement, Sink, SinkState};

use super::{Feed, SinkFixture, apply, start, t, texts};
use crate::fixture::{delete, insert, log_record, origin, row, update};

/// Parks three records of two keys, and moves on past them.
async fn park_three<S: Sink>(sink: &mut S, state: &SinkState, feed: &mut Feed) {
    let rows = vec![insert(&t(), origin(1, 0), 1, "a"), insert(&t(), origin(1, 1), 9, "z")];
    let mut batch = feed.batch(state, rows);
    feed.next += 3;
    batch.ranges[0].next = Offset(feed.next);
    for (offset, key) in [(2, "k1"), (3, "k2"), (4, "k1")] {
        let record = log_record(&feed.source, offset, key, "poison");
        batch.park.push(ParkedRecord { record, reason: format!("reason {offset}") });
    }
    apply(sink, batch).await;
}

fn settle(state: &SinkState, feed: &Feed, changes: Vec<(i64, Option<ChangeEvent>)>) -> SettleBatch {
    let settlement = |(offset, change)| Settlement {
        source: feed.source.clone(),
        offset: Offset(offset),
        change,
    };
    SettleBatch {
        generation: state.generation,
        epoch: state.epoch,
        settlements: changes.into_iter().map(settlement).collect(),
    }
}

async fn parked_offsets<S: Sink>(sink: &mut S) -> Vec<i64> {
    let (parked, count) = sink.parked(100).await.expect("lists");
    assert_eq!(parked.len() as u64, count);
    parked.iter().map(|parked| parked.record.offset.0).collect()
}

/// Parked records are listed with all their bytes, in order, up to a limit.
pub async fn parked_records_are_listed_as_they_came(fixture: &impl SinkFixture) {
    let (mut sink, state, mut feed) = start(fixture).await;
    assert_eq!(sink.parked(10).await.expect("lists"), (Vec::new(), 0));
    park_three(&mut sink, &state, &mut feed).await;
    let (parked, count) = sink.parked(2).await.expect("lists");
    assert_eq!((parked.len(), count), (2, 3));
    assert_eq!(parked[0].record, log_record(&feed.source, 2, "k1", "poison"));
    assert_eq!((parked[0].reason.as_str(), parked[1].record.offset), ("reason 2", Offset(3)));
}

/// A settled record's change is applied although its offset is passed, once however often it is
/// settled, and the key is parked no more.
pub async fn a_settled_record_is_applied_once(fixture: &impl SinkFixture) {
    let (mut sink, state, mut feed) = start(fixture).await;
    park_three(&mut sink, &state, &mut feed).await;
    let change = insert(&t(), origin(2, 0), 2, "b");
    let batch = Arc::new(settle(&state, &feed, vec![(3, Some(change))]));
    sink.settle(batch.clone()).await.expect("settles");
    let newer = update(&t(), origin(3, 0), row(2, "newer"));
    apply(&mut sink, feed.batch(&state, vec![newer])).await;
    sink.settle(batch).await.expect("settles again");
    let expected = texts(&[(1, "a"), (2, "newer"), (9, "z")]);
    assert_eq!(fixture.rows(&mut sink, &t()).await, expected);
    assert_eq!(parked_offsets(&mut sink).await, [2, 4]);
    let again = sink.resume().await.expect("resumes");
    assert_eq!(again.offsets[&feed.source].1, Offset(6), "offsets stay");
    drop(sink);
    let mut sink = fixture.open().await;
    sink.resume().await.expect("resumes");
    assert_eq!(parked_offsets(&mut sink).await, [2, 4], "after a reopening too");
    assert_eq!(fixture.rows(&mut sink, &t()).await, expected);
}

/// A record that is given up is parked no more, and changes no row.
pub async fn a_record_given_up_changes_nothing(fixture: &impl SinkFixture) {
    let (mut sink, state, mut feed) = start(fixture).await;
    park_three(&mut sink, &state, &mut feed).await;
    let batch = settle(&state, &feed, vec![(2, None), (3, None), (4, None)]);
    sink.settle(Arc::new(batch)).await.expect("settles");
    assert_eq!(parked_offsets(&mut sink).await, [0_i64; 0]);
    assert_eq!(fixture.rows(&mut sink, &t()).await, texts(&[(1, "a"), (9, "z")]));
    assert!(sink.resume().await.expect("resumes").parked.is_empty());
}

/// A key's records are applied in the order given, in one transaction.
pub async fn parked_records_are_settled_in_order(fixture: &impl SinkFixture) {
    let (mut sink, state, mut feed) = start(fixture).await;
    park_three(&mut sink, &state, &mut feed).await;
    let changes = vec![
        (2, Some(update(&t(), origin(2, 0), row(1, "b")))),
        (3, Some(delete(&t(), origin(2, 1), 9))),
        (4, Some(update(&t(), origin(2, 2), row(1, "c")))),
    ];
    sink.settle(Arc::new(settle(&state, &feed, changes))).await.expect("settles");
    assert_eq!(fixture.rows(&mut sink, &t()).await, texts(&[(1, "c")]));
}
