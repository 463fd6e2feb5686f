//! How schemas come to be registered: keys are frozen, nullable columns stay so.

use cdc_codec::{CodecConfig, Encoder, Error, EventError, Format};
use cdc_model::{ColumnType as Ty, ImageKind, Op, Placement};
use cdc_pipeline::port::{Decoded, Encode, SchemaRegistry, Subject};
use cdc_pipeline::{Classify, ErrorClass};

use crate::harness::{Bench, Item, Script, decode, literal, logged, nn, null, table};

async fn latest(bench: &Bench, subject: &str) -> (u32, String) {
    let latest = bench.registry.latest(&Subject::new(subject)).await.unwrap().unwrap();
    (latest.version.0, latest.schema.to_string())
}

#[tokio::test]
async fn a_key_schema_stays_while_names_and_types_are_equal() {
    let mut bench = Bench::new("p", "db", Format::Avro);
    let first = table("public", "t", vec![nn("id", Ty::Int32), null("v", Ty::Text)], &[0]);
    bench.encoder.prepare(&first).await.unwrap();
    let other_default =
        table("public", "t", vec![literal(nn("id", Ty::Int32), "5"), null("v", Ty::Text)], &[0]);
    bench.encoder.prepare(&other_default).await.unwrap();
    assert_eq!(latest(&bench, "p.public.t-key").await.0, 1);
    assert_eq!(latest(&bench, "p.public.t-value").await.0, 2);
    let other_type = table("public", "t", vec![nn("id", Ty::Int64), null("v", Ty::Text)], &[0]);
    bench.encoder.prepare(&other_type).await.unwrap();
    assert_eq!(latest(&bench, "p.public.t-key").await.0, 2);
}

#[tokio::test]
async fn a_column_once_nullable_stays_so_in_the_schema() {
    for format in [Format::Avro, Format::Json, Format::JsonWithSchema] {
        let mut bench = Bench::new("p", "db", format);
        let loose = table("public", "t", vec![nn("id", Ty::Int32), null("v", Ty::Text)], &[0]);
        bench.encoder.prepare(&loose).await.unwrap();
        let (_, schema) = latest(&bench, "p.public.t-value").await;
        let strict = table("public", "t", vec![nn("id", Ty::Int32), nn("v", Ty::Text)], &[0]);
        let mut script = Script::default();
        script.insert(&strict, &["1", "x"]);
        let records = bench.encode(&script.items).await;
        assert_eq!(latest(&bench, "p.public.t-value").await, (1, schema));
        let Ok(Decoded::Change(event)) = decode(&mut bench.decoder(), &logged(&records[0])).await
        else {
            panic!("no change");
        };
        assert_eq!(event.after.unwrap()[1], cdc_model::Value::text("x"));
    }
}

#[tokio::test]
async fn an_incompatible_schema_is_fatal_and_names_its_subject() {
    let mut bench = Bench::new("p", "db", Format::Avro);
    bench.registry.refuse(Subject::new("p.public.t-value"));
    let refused = table("public", "t", vec![nn("id", Ty::Int32)], &[0]);
    let error = bench.encoder.prepare(&refused).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Fatal);
    assert!(error.to_string().contains("p.public.t-value"), "{error}");
    let mut script = Script::default();
    script.insert(&refused, &["1"]);
    let Item::Change(event) = &script.items[0] else { panic!("no change") };
    let mut records = Vec::new();
    let error = bench.encoder.encode(event, crate::harness::NOW, &mut records).unwrap_err();
    assert_eq!(error.code(), Some("TABLE_NOT_PREPARED"));
    assert!(records.is_empty());
}

#[tokio::test]
async fn two_tables_that_would_share_a_topic_are_refused() {
    let mut bench = Bench::new("p", "db", Format::Avro);
    bench.encoder.prepare(&table("public", "a b", vec![nn("id", Ty::Int32)], &[0])).await.unwrap();
    let other = table("public", "a_b", vec![nn("id", Ty::Int32)], &[0]);
    let error = bench.encoder.prepare(&other).await.unwrap_err();
    assert!(matches!(error, Error::Event(EventError::TopicShared { .. })), "{error}");
}

#[tokio::test]
async fn a_key_is_never_invented() {
    let mut bench = Bench::new("p", "db", Format::Avro);
    let keyed =
        table("public", "t", vec![nn("k", Ty::Decimal(Some((5, 2)))), null("v", Ty::Text)], &[0]);
    bench.encoder.prepare(&keyed).await.unwrap();
    for key in ["NULL", "NaN", "<unchanged>"] {
        let mut script = Script::default();
        script.insert(&keyed, &[key, "x"]);
        let Item::Change(event) = &script.items[0] else { panic!("no change") };
        let error = bench.encoder.encode(event, crate::harness::NOW, &mut Vec::new()).unwrap_err();
        assert_eq!(error.code(), Some("KEY_NOT_REPRESENTABLE"), "{key}");
    }
}

#[tokio::test]
async fn records_go_where_their_order_holds() {
    let mut bench = Bench::new("p", "db", Format::Json);
    let keyed = table("public", "k", vec![nn("id", Ty::Int32), null("v", Ty::Text)], &[0]);
    let keyless = table("public", "n", vec![null("v", Ty::Text)], &[]);
    let mut script = Script::default();
    script.insert(&keyed, &["1", "x"]);
    script.change(
        &keyed,
        Op::Update,
        Some((ImageKind::Key, &["1", "NULL"])),
        Some(&["2", "<unchanged>"]),
    );
    script.insert(&keyless, &["x"]);
    script.change(&keyed, Op::Truncate, None, None);
    let records = bench.encode(&script.items).await;
    let placed: Vec<_> = records.iter().map(|r| (r.placement, r.id.unwrap().sub)).collect();
    assert_eq!(
        placed,
        [
            (Placement::ByKey, 0),
            (Placement::ByKey, 0),
            (Placement::ByKey, 1),
            (Placement::ByKey, 2),
            (Placement::Fixed, 0),
            (Placement::Every, 0),
        ]
    );
    let mut decoder = bench.decoder();
    let moved = decode(&mut decoder, &logged(&records[1])).await.unwrap();
    assert!(matches!(moved, Decoded::Moved(_)), "{moved:?}");
    let Ok(Decoded::Change(create)) = decode(&mut decoder, &logged(&records[3])).await else {
        panic!("no change");
    };
    assert_eq!(create.before.unwrap().row[0], cdc_model::Value::Int32(1));
}

#[tokio::test]
async fn a_record_without_identity_or_schema_id_is_refused() {
    let mut bench = Bench::new("p", "db", Format::Json);
    let keyed = table("public", "k", vec![nn("id", Ty::Int32)], &[0]);
    let mut script = Script::default();
    script.insert(&keyed, &["1"]);
    let records = bench.encode(&script.items).await;
    for header in ["penstock.id", "penstock.schema.id"] {
        let mut record = logged(&records[0]);
        record.headers.retain(|h| h.name != header);
        let error = decode(&mut bench.decoder(), &record).await.unwrap_err();
        assert_eq!(error.class(), ErrorClass::Poison);
        assert!(error.to_string().contains(header), "{error}");
    }
}

#[tokio::test]
async fn without_tombstones_the_records_keep_their_numbers() {
    let registry = Bench::new("p", "db", Format::Avro).registry;
    let mut config = CodecConfig::new("p", "db");
    config.tombstones_on_delete = false;
    let mut encoder = Encoder::new(config, registry);
    let keyed = table("public", "k", vec![nn("id", Ty::Int32)], &[0]);
    encoder.prepare(&keyed).await.unwrap();
    let mut script = Script::default();
    script.change(&keyed, Op::Update, Some((ImageKind::Key, &["1"])), Some(&["2"]));
    let Item::Change(event) = &script.items[0] else { panic!("no change") };
    let mut records = Vec::new();
    encoder.encode(event, crate::harness::NOW, &mut records).unwrap();
    let subs: Vec<_> = records.iter().map(|record| record.id.unwrap().sub).collect();
    assert_eq!(subs, [0, 2]);
}
