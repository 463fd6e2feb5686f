//! What may be opened, and by whom.

use cdc_pipeline::port::Sink as _;
use cdc_pipeline::{Classify as _, ErrorClass};
use cdc_sink_audit::{AuditConfig, AuditSink};
use testkit::fixture::{insert, origin, table};

use crate::world::{World, config, refused};

#[tokio::test]
async fn a_log_of_another_pipeline_is_refused() {
    let world = World::new(config()).await;
    let error = refused(world.path(), AuditConfig::new("other")).await;
    assert_eq!((error.class(), error.code()), (ErrorClass::Fatal, Some("AUDIT_FOREIGN")));
    let directory = world.close();
    let error = refused(directory.path(), AuditConfig::new("other")).await;
    assert_eq!(error.code(), Some("AUDIT_FOREIGN"));
}

#[tokio::test]
async fn a_log_held_by_another_is_waited_for() {
    let directory = tempfile::tempdir().unwrap();
    let held = std::fs::File::create(directory.path().join("lock")).unwrap();
    held.lock().unwrap();
    let error = refused(directory.path(), config()).await;
    assert_eq!((error.class(), error.code()), (ErrorClass::Transient, Some("AUDIT_LOCKED")));
    drop(held);
    AuditSink::open(directory.path(), config()).await.unwrap();
}

#[tokio::test]
async fn epochs_go_on_over_openings_and_nothing_is_written_without_one() {
    let mut world = World::new(config()).await;
    let events = vec![insert(&table("t"), origin(1, 0), 1, "a")];
    world.apply(events.clone()).await.unwrap();
    let batch = std::sync::Arc::new(crate::world::batch(&world.state, 0, events));
    let epoch = world.state.epoch;
    let directory = world.close();
    let mut sink = AuditSink::open(directory.path(), config()).await.unwrap();
    assert!(sink.apply(batch.clone()).await.is_err(), "a batch before resume");
    assert_eq!(sink.resume().await.unwrap().epoch.0, epoch.0 + 1);
    assert_eq!(sink.apply(batch).await.unwrap_err().class(), ErrorClass::Fenced);
}
