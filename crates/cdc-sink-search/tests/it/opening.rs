//! What may be opened, and by whom.

use std::sync::Arc;

use cdc_pipeline::port::{ParkedRecord, SettleBatch, Settlement, Sink as _};
use cdc_pipeline::{Classify as _, ErrorClass};
use cdc_sink_search::{SearchConfig, SearchSink};
use testkit::fixture::{insert, log_record, origin, table};

use crate::world::{World, batch, config, refused};

#[tokio::test]
async fn an_index_of_another_pipeline_is_refused() {
    let world = World::new().await;
    let error = refused(world.path(), SearchConfig::new("other")).await;
    assert_eq!((error.class(), error.code()), (ErrorClass::Fatal, Some("SEARCH_FOREIGN")));
    let directory = world.close();
    let error = refused(directory.path(), SearchConfig::new("other")).await;
    assert_eq!(error.code(), Some("SEARCH_FOREIGN"));
    assert!(error.remedy().is_some());
}

#[tokio::test]
async fn an_index_held_by_another_is_waited_for() {
    let directory = tempfile::tempdir().unwrap();
    let held = std::fs::File::create(directory.path().join("penstock.lock")).unwrap();
    held.lock().unwrap();
    let error = refused(directory.path(), config()).await;
    assert_eq!((error.class(), error.code()), (ErrorClass::Transient, Some("SEARCH_LOCKED")));
    drop(held);
    SearchSink::open(directory.path(), config()).await.unwrap();
}

#[tokio::test]
async fn nothing_writes_to_a_closed_index() {
    for _ in 0..5 {
        // GIVEN as many segments as a merge is made of
        let mut world = World::new().await;
        for id in 0..8 {
            world.apply(vec![insert(&table("t"), origin(1, 0), id, "a")]).await.unwrap();
        }
        // WHEN it is closed, and so far that it can be opened again
        let directory = world.close();
        drop(SearchSink::open(directory.path(), config()).await.unwrap());
        // THEN its files stay as they are, and can be removed
        let files = || std::fs::read_dir(directory.path()).unwrap().count();
        let before = files();
        for _ in 0..1_000 {
            assert_eq!(files(), before);
        }
        directory.close().unwrap();
    }
}

#[tokio::test]
async fn a_damaged_index_halts() {
    let mut world = World::new().await;
    world.apply(vec![insert(&table("t"), origin(1, 0), 1, "a")]).await.unwrap();
    let directory = world.close();
    for damage in [&b"{"[..], b"", b"{\"segments\": 1}"] {
        let damaged = crate::world::copy(directory.path());
        std::fs::write(damaged.path().join("meta.json"), damage).unwrap();
        let error = refused(damaged.path(), config()).await;
        assert_eq!((error.class(), error.code()), (ErrorClass::Fatal, Some("SEARCH_CORRUPT")));
    }
}

#[tokio::test]
async fn parked_records_are_no_hits_and_survive_a_reopening() {
    let mut world = World::new().await;
    let mut batch = batch(&world.state, 0, vec![insert(&table("t"), origin(1, 0), 1, "a")]);
    let source = batch.ranges[0].source.clone();
    batch.ranges[0].next = cdc_model::Offset(2);
    let record = log_record(&source, 1, "key", "poison");
    batch.park = vec![ParkedRecord { record, reason: "never fits".to_owned() }];
    world.apply_batch(batch).await.unwrap();
    let world = world.reopen().await;
    assert_eq!(world.state.parked, [(source, "key".into())]);
    for query in ["*", "poison", "kind:parked"] {
        let hits = world.sink.query_handle().search(query, 10).await.unwrap();
        assert!(hits.iter().all(|hit| hit.table == "public.t"), "{query}: {hits:?}");
    }
}

#[tokio::test]
async fn a_batch_of_an_older_epoch_is_fenced() {
    let world = World::new().await;
    let old = batch(&world.state, 0, vec![insert(&table("t"), origin(1, 0), 1, "a")]);
    let epoch = world.state.epoch;
    let mut world = world.reopen().await;
    assert!(world.state.epoch > epoch);
    let error = world.apply_batch(old).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Fenced);
}

#[tokio::test]
async fn a_parked_record_is_read_back_and_settled_once() {
    let mut world = World::new().await;
    let t = table("t");
    let mut batch = batch(&world.state, 0, vec![insert(&t, origin(1, 0), 1, "a")]);
    let source = batch.ranges[0].source.clone();
    batch.ranges[0].next = cdc_model::Offset(4);
    let park = |offset| ParkedRecord {
        record: log_record(&source, offset, "key", "poison"),
        reason: "never fits".to_owned(),
    };
    let parked = [park(1), park(2), park(3)];
    batch.park = parked.to_vec();
    world.apply_batch(batch).await.unwrap();
    assert_eq!(world.sink.parked(2).await.unwrap(), (parked[..2].to_vec(), 3));
    let settle = |offset, change| Settlement {
        source: source.clone(),
        offset: cdc_model::Offset(offset),
        change,
    };
    let settle = SettleBatch {
        generation: world.state.generation,
        epoch: world.state.epoch,
        settlements: vec![settle(1, Some(insert(&t, origin(1, 1), 2, "mended"))), settle(2, None)],
    };
    for _ in 0..2 {
        world.sink.settle(Arc::new(settle.clone())).await.unwrap();
        assert_eq!(world.rows("public.t").await, ["1|a", "2|mended"]);
        assert_eq!(world.sink.parked(9).await.unwrap(), (parked[2..].to_vec(), 1));
    }
    let offsets = world.state.offsets.clone();
    let mut world = world.reopen().await;
    assert_eq!(
        (&world.state.parked, &world.state.offsets),
        (&vec![(source, "key".into())], &offsets)
    );
    assert_eq!(world.sink.parked(9).await.unwrap(), (parked[2..].to_vec(), 1));
    let error = world.sink.settle(Arc::new(settle)).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Fenced);
}
