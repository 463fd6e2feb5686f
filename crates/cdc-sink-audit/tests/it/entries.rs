//! What an entry says, and what the log folds to.

use std::sync::Arc;

use cdc_model::{
    ChangeEvent, Column, ColumnType, ImageKind, Op, Row, RowImage, TableSchema, Value,
};
use cdc_pipeline::Classify as _;
use cdc_pipeline::port::{ParkedRecord, SettleBatch, Settlement, Sink as _};
use serde_json::json;
use testkit::fixture::{
    delete, insert, key_image, log_record, origin, row, table, truncate, update,
};

use crate::world::{World, batch, config, segments, small_segments, t};

fn unchanged(id: i64) -> Row {
    Row::new(vec![Value::Int64(id), Value::Unchanged])
}

#[tokio::test]
async fn an_entry_says_who_when_and_what() {
    let mut world = World::new(config()).await;
    let before = Some(RowImage { row: row(1, "a"), kind: ImageKind::Full });
    let event = ChangeEvent { before, ..update(&table("t"), origin(0x10, 3), row(1, "b")) };
    world.apply(vec![event]).await.unwrap();
    let mut entries = world.sink.query_handle().tail(5).await.unwrap();
    assert_eq!(entries.len(), 1);
    let mut entry = entries.remove(0);
    for member in ["prev", "hash"] {
        assert_eq!(entry.remove(member).unwrap().as_str().unwrap().len(), 64);
    }
    let expected = json!({
        "seq": 3,
        "kind": "change",
        "topic": "s.public.t",
        "partition": 0,
        "offset": 0,
        "schema": "public",
        "table": "t",
        "op": "u",
        "transaction": {
            "id": 16,
            "commit_lsn": "0/10",
            "committed_at": "2023-11-14 22:13:20+00",
        },
        "lsn": "0/10",
        "change": 3,
        "snapshot": null,
        "key": {"id": 1},
        "before": {"id": 1, "v": "a"},
        "before_is_full": true,
        "after": {"id": 1, "v": "b"},
        "unchanged": [],
    });
    assert_eq!(serde_json::Value::Object(entry), expected);
}

#[tokio::test]
async fn an_unchanged_column_of_a_row_never_seen_is_recorded_and_not_guessed() {
    let mut world = World::new(config()).await;
    world.apply(vec![update(&table("t"), origin(1, 0), unchanged(1))]).await.unwrap();
    let query = world.sink.query_handle();
    let entry = &query.tail(1).await.unwrap()[0];
    assert_eq!((&entry["after"], &entry["unchanged"]), (&json!({"id": 1}), &json!(["v"])));
    let error = query.rows(&t(), 10).await.unwrap_err();
    assert_eq!(error.code(), Some("UNCHANGED_WITHOUT_ROW"), "{error}");
}

#[tokio::test]
async fn the_fold_follows_moves_truncates_and_unchanged_columns_over_segments() {
    let mut world = World::new(small_segments()).await;
    let t = table("t");
    world
        .apply(vec![insert(&t, origin(1, 0), 1, "kept"), insert(&t, origin(1, 1), 5, "x")])
        .await
        .unwrap();
    let moved = ChangeEvent {
        op: Op::Create,
        before: Some(key_image(1)),
        ..update(&t, origin(2, 0), unchanged(2))
    };
    for events in [
        vec![delete(&t, origin(2, 0), 1)],
        vec![moved],
        vec![ChangeEvent { before: Some(key_image(2)), ..update(&t, origin(3, 0), unchanged(3)) }],
        vec![update(&t, origin(4, 0), unchanged(3))],
    ] {
        world.apply(events).await.unwrap();
    }
    assert!(segments(world.path()).len() > 2);
    assert_eq!(world.rows(&t.name).await, ["3|kept", "5|x"]);
    // Another partition's truncate removes only what came by it.
    let other = batch(
        &world.state,
        1,
        vec![
            insert(&t, origin(5, 0), 7, "y"),
            truncate(&t, origin(5, 1)),
            insert(&t, origin(5, 2), 8, "z"),
        ],
    );
    world.apply_batch(other).await.unwrap();
    assert_eq!(world.rows(&t.name).await, ["3|kept", "5|x", "8|z"]);
    let error = world.sink.query_handle().rows(&t.name, 2).await.unwrap_err();
    assert_eq!(error.code(), Some("TOO_MANY_ROWS"), "{error}");
    assert_eq!(world.sink.query_handle().count(&t.name).await.unwrap(), 9);
    let tail = world.sink.query_handle().tail(4).await.unwrap();
    let offsets: Vec<_> = tail.iter().map(|entry| entry["offset"].as_i64().unwrap()).collect();
    assert_eq!(offsets, [5, 0, 1, 2]);
}

#[tokio::test]
async fn a_new_column_has_in_old_rows_what_the_source_says() {
    let mut world = World::new(config()).await;
    let mut wide = TableSchema::clone(&table("t"));
    let mut column = Column::new("n", ColumnType::Int32);
    column.missing = Some("7".into());
    wide.columns.push(column);
    let wide = Arc::new(wide);
    let new = Row::new(vec![Value::Int64(2), Value::text("b"), Value::Null]);
    world.apply(vec![insert(&table("t"), origin(1, 0), 1, "a")]).await.unwrap();
    world.apply(vec![update(&wide, origin(2, 0), new)]).await.unwrap();
    assert_eq!(world.rows(&t()).await, ["1|a|7", "2|b|null"]);
}

#[tokio::test]
async fn a_parked_record_is_kept_with_its_bytes_and_survives_a_seal() {
    let mut world = World::new(small_segments()).await;
    let events = vec![insert(&table("t"), origin(1, 0), 1, "a")];
    let mut batch = batch(&world.state, 0, events.clone());
    let source = batch.ranges[0].source.clone();
    batch.ranges[0].next = cdc_model::Offset(2);
    let record = log_record(&source, 1, "key", "poison");
    batch.park = vec![ParkedRecord { record, reason: "never fits".to_owned() }];
    world.apply_batch(batch).await.unwrap();
    while segments(world.path()).len() < 3 {
        world.apply(events.clone()).await.unwrap();
    }
    let text = std::fs::read_to_string(&segments(world.path())[0]).unwrap();
    let parked = text.lines().find(|line| line.contains("\"kind\":\"park\"")).unwrap();
    let parked: serde_json::Value = serde_json::from_str(parked).unwrap();
    let found = (&parked["key"], &parked["value"], &parked["reason"]);
    assert_eq!(found, (&json!("a2V5"), &json!("cG9pc29u"), &json!("never fits")));
    let directory = world.close();
    let mut sink = cdc_sink_audit::AuditSink::open(directory.path(), config()).await.unwrap();
    assert_eq!(sink.resume().await.unwrap().parked, [(source, "key".into())]);
}

#[tokio::test]
async fn a_row_without_its_tables_columns_is_poison_and_nothing_is_written() {
    use cdc_pipeline::port::SinkError as _;
    let mut world = World::new(config()).await;
    let short = update(&table("t"), origin(1, 0), Row::new(vec![Value::Int64(1)]));
    let error = world.apply(vec![insert(&table("t"), origin(1, 0), 1, "a"), short]).await;
    assert_eq!(error.unwrap_err().poisoned(), Some(1));
    world.state = world.sink.resume().await.unwrap();
    assert!(world.state.offsets.is_empty());
    assert_eq!(world.sink.query_handle().count(&t()).await.unwrap(), 0);
    assert!(world.sink.query_handle().verify().await.unwrap().is_intact());
}

#[tokio::test]
async fn a_parked_record_is_read_back_and_settled_once() {
    let mut world = World::new(small_segments()).await;
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
    while segments(world.path()).len() < 3 {
        world.apply(vec![insert(&t, origin(1, 0), 1, "b")]).await.unwrap();
    }
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
        assert_eq!(world.rows(&t.name).await, ["1|b", "2|mended"]);
        assert_eq!(world.sink.parked(9).await.unwrap(), (parked[2..].to_vec(), 1));
    }
    let offsets = world.state.offsets.clone();
    let directory = world.close();
    let mut sink = cdc_sink_audit::AuditSink::open(directory.path(), config()).await.unwrap();
    let state = sink.resume().await.unwrap();
    assert_eq!((state.parked, state.offsets), (vec![(source, "key".into())], offsets));
    assert_eq!(sink.parked(9).await.unwrap(), (parked[2..].to_vec(), 1));
    let error = sink.settle(Arc::new(settle)).await.unwrap_err();
    assert_eq!(error.class(), cdc_pipeline::ErrorClass::Fenced);
    assert!(cdc_sink_audit::verify(directory.path()).unwrap().is_intact());
}

#[tokio::test]
async fn of_a_batch_that_overlaps_only_the_new_entries_are_added() {
    let mut world = World::new(config()).await;
    let events = |n: usize| vec![insert(&table("t"), origin(1, 0), 1, "same"); n];
    let whole = batch(&world.state, 0, events(5));
    world.apply(events(3)).await.unwrap();
    world.apply_batch(whole).await.unwrap();
    let entries = world.sink.query_handle().tail(9).await.unwrap();
    let offsets: Vec<_> = entries.iter().map(|entry| entry["offset"].as_i64().unwrap()).collect();
    assert_eq!(offsets, [0, 1, 2, 3, 4]);
}
