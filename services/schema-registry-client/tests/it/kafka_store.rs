//! Schemas in Kafka: restarts, several writers, records of other registries, a broker that is away.

use std::sync::atomic::{AtomicU64, Ordering};

use cdc_log_kafka::{CompactedTopic, KafkaConfig};
use reqwest::Method;
use schema_registry_client::Settings;
use serde_json::{Value, json};
use testkit::server::kafka::Kafka;

use crate::world::{A, B, PATIENCE, Running, schema};

fn unique() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    format!("_schemas-{}", COUNT.fetch_add(1, Ordering::Relaxed))
}

fn settings(kafka: &Kafka, topic: &str) -> Settings {
    Settings {
        kafka: Some(kafka.bootstrap()),
        kafka_topic: topic.to_owned(),
        ..Settings::default()
    }
}

async fn start(kafka: &Kafka, topic: &str) -> Running {
    let registry = Running::start(settings(kafka, topic)).await;
    registry.ready().await;
    registry
}

/// Reads the topic as any other program would.
async fn records(kafka: &Kafka, topic: &str) -> Vec<(String, Option<String>)> {
    let topic = CompactedTopic::new(KafkaConfig::new(kafka.bootstrap()), topic).unwrap();
    topic.open().await.unwrap();
    let (end, mut reader) = (topic.end().await.unwrap(), topic.reader(None).await.unwrap());
    let text = |bytes: &bytes::Bytes| String::from_utf8(bytes.to_vec()).unwrap();
    let mut all = Vec::new();
    while reader.position() < end {
        let polled = tokio::time::timeout(PATIENCE, reader.poll()).await.unwrap();
        let polled = polled.unwrap().into_iter();
        all.extend(polled.map(|r| (text(r.key.as_ref().unwrap()), r.value.as_ref().map(text))));
    }
    all
}

/// Writes to the topic as another registry would.
async fn write(kafka: &Kafka, topic: &str, of: &[(&'static str, &'static str)]) {
    let topic = CompactedTopic::new(KafkaConfig::new(kafka.bootstrap()), topic).unwrap();
    topic.open().await.unwrap();
    let writer = topic.writer("another-registry").await.unwrap();
    let records = of.iter().map(|(key, value)| ((*key).into(), Some((*value).into())));
    writer.append(records.collect()).await.unwrap();
}

#[tokio::test]
async fn a_restart_keeps_everything_and_the_records_are_confluents() {
    let kafka = Kafka::shared().await;
    let topic = unique();
    let registry = start(kafka, &topic).await;
    assert_eq!(registry.register("s", A).await, 1);
    assert_eq!(registry.register("s", B).await, 2);
    assert_eq!(registry.register("s", A).await, 1);
    registry.put("/config", json!({ "compatibility": "FULL" })).await;
    registry.put("/mode/t", json!({ "mode": "READONLY" })).await;
    registry.register("gone", "\"int\"").await;
    registry.delete("/subjects/gone").await;
    assert_eq!(registry.delete("/subjects/gone?permanent=true").await.body, json!([1]));
    assert_eq!(registry.delete("/subjects/s/versions/1").await.body, json!(1));
    registry.stop().await;

    let value = |version: u32, id: u32, text: &str, deleted: bool| {
        Some(
            json!({ "subject": "s", "version": version, "id": id, "schema": text, "deleted": deleted })
                .to_string(),
        )
    };
    let key = |version: u32| {
        format!(r#"{{"keytype":"SCHEMA","subject":"s","version":{version},"magic":1}}"#)
    };
    let found = records(kafka, &topic).await;
    assert_eq!(found[0], (key(1), value(1, 1, A, false)));
    assert_eq!(found[1], (key(2), value(2, 2, B, false)));
    let level = (r#"{"keytype":"CONFIG","magic":0}"#, r#"{"compatibilityLevel":"FULL"}"#);
    assert_eq!((found[2].0.as_str(), found[2].1.as_deref()), (level.0, Some(level.1)));
    assert_eq!(found.last(), Some(&(key(1), value(1, 1, A, true))));

    let registry = start(kafka, &topic).await;
    assert_eq!(registry.get("/subjects/s/versions").await.body, json!([2]));
    assert_eq!(registry.get("/subjects/s/versions?deleted=true").await.body, json!([1, 2]));
    assert_eq!(registry.get("/schemas/ids/1").await.body, schema(A));
    assert_eq!(registry.get("/config").await.body, json!({ "compatibilityLevel": "FULL" }));
    assert_eq!(registry.get("/mode/t").await.body, json!({ "mode": "READONLY" }));
    // An id is not given twice, though nothing but the note of it is left.
    assert_eq!(registry.register("new", "\"long\"").await, 4);
    registry.stop().await;
}

#[tokio::test]
async fn two_instances_take_turns_and_give_no_id_twice() {
    let kafka = Kafka::shared().await;
    let topic = unique();
    let (first, second) = (start(kafka, &topic).await, start(kafka, &topic).await);
    for round in 0..3 {
        let text = |name: &str| format!(r#"{{"type":"fixed","name":"{name}{round}","size":4}}"#);
        let (a, b) = (format!("a{round}"), format!("b{round}"));
        let (left, right) = (text("a"), text("b"));
        let (left, right) = tokio::join!(first.register(&a, &left), second.register(&b, &right));
        assert_ne!(left, right);
    }
    testkit::server::until("both know everything", PATIENCE, async || {
        let all = first.get("/schemas").await.body;
        all.as_array().is_some_and(|all| all.len() == 6) && all == second.get("/schemas").await.body
    })
    .await;
    let ids: std::collections::BTreeSet<_> = first
        .get("/schemas")
        .await
        .body
        .as_array()
        .unwrap()
        .iter()
        .map(|found| found["id"].as_u64().unwrap())
        .collect();
    assert_eq!(ids, (1..=6).collect());
    first.stop().await;
    second.stop().await;
}

/// However far each request came before it was given up, what is there afterwards is whole.
#[tokio::test]
async fn requests_that_are_given_up_leave_nothing_half_or_twice() {
    let kafka = Kafka::shared().await;
    let topic = unique();
    let registry = start(kafka, &topic).await;
    let text = |round: u64| format!(r#"{{"type":"fixed","name":"F{round}","size":4}}"#);
    registry.put("/config", json!({ "compatibility": "NONE" })).await;
    for round in 0..12 {
        let (text, patience) = (text(round), std::time::Duration::from_millis(round * 2));
        let given_up = tokio::time::timeout(patience, registry.register("s", &text)).await;
        drop(given_up);
    }
    let mut ids = std::collections::BTreeSet::new();
    for round in 0..12 {
        assert!(ids.insert(registry.register("s", &text(round)).await));
    }
    assert_eq!(ids, (1..=12).collect());
    let all = registry.get("/schemas").await.body;
    let versions: Vec<_> =
        all.as_array().unwrap().iter().map(|found| found["version"].as_u64().unwrap()).collect();
    assert_eq!(versions, (1..=12).collect::<Vec<_>>());
    registry.stop().await;
    let registry = start(kafka, &topic).await;
    assert_eq!(registry.get("/schemas").await.body, all);
    registry.stop().await;
}

#[tokio::test]
async fn what_another_registry_left_is_served_and_a_contradiction_stops_writing() {
    let kafka = Kafka::shared().await;
    let topic = unique();
    write(
        kafka,
        &topic,
        &[
            ("not json", "{}"),
            (r#"{"keytype":"NOOP","magic":0}"#, ""),
            (
                r#"{"keytype":"SCHEMA","subject":"p","version":1,"magic":1}"#,
                r#"{"subject":"p","version":1,"id":41,"md5":"x","schemaType":"PROTOBUF","schema":"message M {}","deleted":false}"#,
            ),
            (
                r#"{"keytype":"SCHEMA","subject":"q","version":1,"magic":1}"#,
                r#"{"subject":"q","version":1,"id":42,"references":[{"name":"M","subject":"p","version":1}],"schema":"\"int\"","deleted":false}"#,
            ),
            (r#"{"keytype":"CONFIG","subject":"q","magic":0}"#, r#"{"compatibilityLevel":"NONE"}"#),
        ],
    )
    .await;
    let registry = start(kafka, &topic).await;
    let told = registry.get("/schemas/ids/41").await;
    assert_eq!(told.body, json!({ "schemaType": "PROTOBUF", "schema": "message M {}" }));
    assert_eq!(registry.get("/subjects/p/versions/1/referencedby").await.body, json!([42]));
    assert_eq!(registry.post("/subjects/p/versions", schema(A)).await.status, 409);
    assert_eq!(registry.register("q", "\"long\"").await, 43);

    write(
        kafka,
        &topic,
        &[(
            r#"{"keytype":"SCHEMA","subject":"z","version":1,"magic":1}"#,
            r#"{"subject":"z","version":1,"id":43,"schema":"\"bytes\"","deleted":false}"#,
        )],
    )
    .await;
    testkit::server::until("the contradiction is seen", PATIENCE, async || {
        registry.send(Method::GET, "/readyz", None).await.1.contains("two registries")
    })
    .await;
    let told = registry.post("/subjects/z/versions", schema(A)).await;
    assert_eq!((told.refusal().0, told.refusal().1), (503, 50001));
    assert_eq!(registry.get("/schemas/ids/43").await.body, schema("\"long\""));
    assert_eq!(registry.send(Method::GET, "/healthz", None).await.0, 200);
    registry.stop().await;
}

#[tokio::test]
async fn without_kafka_it_lives_and_says_so_and_goes_on_when_it_is_back() {
    let kafka = Kafka::start().await;
    kafka.stop().await;
    let registry = Running::start(settings(&kafka, "_schemas")).await;
    assert_eq!(registry.send(Method::GET, "/healthz", None).await.0, 200);
    assert_eq!(registry.send(Method::GET, "/readyz", None).await.0, 503);
    let told = registry.get("/subjects").await;
    assert_eq!((told.refusal().0, told.refusal().1), (503, 50001));
    kafka.start_again().await;
    registry.ready().await;
    assert_eq!(registry.register("s", A).await, 1);

    kafka.kill9().await;
    assert_eq!(registry.get("/subjects/s/versions/latest").await.body["schema"], Value::from(A));
    assert_eq!(registry.register("s", A).await, 1);
    let told = registry.post("/subjects/s/versions", schema(B)).await;
    assert_eq!((told.refusal().0, told.refusal().1), (503, 50002), "{told:?}");
    assert_eq!(registry.send(Method::GET, "/healthz", None).await.0, 200);
    kafka.start_again().await;
    testkit::server::until("it writes again", PATIENCE, async || {
        registry.post("/subjects/s/versions", schema(B)).await.status == 200
    })
    .await;
    assert_eq!(registry.get("/subjects/s/versions").await.body, json!([1, 2]));
    registry.stop().await;
}
