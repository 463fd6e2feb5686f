//! What may be opened, and by whom.

use cdc_pipeline::port::ParkedRecord;
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
