//! Schemas that use others: registered, found, compared, kept through restarts, and not deleted
//! from under each other.

use serde_json::{Value, json};
use testkit::server::apicurio::Apicurio;
use testkit::server::kafka::Kafka;

use crate::world::{Running, embedded};

const USER: &str =
    r#"{"type":"record","name":"User","namespace":"shop","fields":[{"name":"id","type":"long"}]}"#;
const ORDER: &str = r#"{"type":"record","name":"Order","namespace":"shop","fields":[{"name":"user","type":"shop.User"}]}"#;
const WIDER: &str = r#"{"type":"record","name":"Order","namespace":"shop","fields":[{"name":"user","type":"User"},{"name":"gift","type":["null","User"],"default":null}]}"#;
const OTHER: &str = r#"{"type":"record","name":"Order","namespace":"shop","fields":[{"name":"user","type":"shop.User"},{"name":"note","type":"string"}]}"#;

fn using(text: &str, version: i64) -> Value {
    let user = json!({ "name": "shop.User", "subject": "user", "version": version });
    json!({ "schema": text, "references": [user] })
}

#[tokio::test]
async fn a_schema_is_registered_with_those_it_uses() {
    let dir = tempfile::tempdir().unwrap();
    let registry = Running::start(embedded(dir.path())).await;
    registry.register("user", USER).await;
    let told = registry.post("/subjects/order/versions", json!({ "schema": ORDER })).await;
    let (status, code, message) = told.refusal();
    assert_eq!((status, code), (422, 42201));
    assert!(message.contains("unknown type \"shop.User\""), "{message}");
    let told = registry.post("/subjects/order/versions", using(ORDER, 2)).await;
    let words = "No schema reference found for subject \"user\" and version 2";
    assert!(told.refusal().2.ends_with(words), "{told:?}");

    // The latest is the one that it is now.
    let told = registry.post("/subjects/order/versions", using(ORDER, -1)).await;
    assert_eq!(told.body, json!({ "id": 2 }));
    let references = json!([{ "name": "shop.User", "subject": "user", "version": 1 }]);
    let told = registry.get("/schemas/ids/2").await.body;
    assert_eq!(told, json!({ "references": references, "schema": ORDER }));
    let told = registry.post("/subjects/order", using(&ORDER.replace(':', ": "), 1)).await;
    assert_eq!((&told.body["version"], &told.body["references"]), (&json!(1), &references));
    assert_eq!(registry.post("/subjects/order/versions", using(ORDER, 1)).await.body["id"], 2);

    let all = "/compatibility/subjects/order/versions?verbose=true";
    assert_eq!(registry.post(all, using(WIDER, 1)).await.body["is_compatible"], true);
    let told = registry.post(all, using(OTHER, 1)).await.body;
    assert!(told["messages"].to_string().contains("READER_FIELD_MISSING_DEFAULT_VALUE"), "{told}");
    let told = registry.post("/subjects/order/versions?normalize=true", using(WIDER, 1)).await;
    assert_eq!(told.body, json!({ "id": 3 }));
    registry.stop().await;

    let registry = Running::start(embedded(dir.path())).await;
    let by = "/subjects/user/versions/1/referencedby";
    assert_eq!(registry.get(by).await.body, json!([2, 3]));
    assert_eq!(registry.get(&format!("{by}?offset=1&limit=1")).await.body, json!([3]));
    let words = "One or more references exist to the schema \
                 {magic=1,keytype=SCHEMA,subject=user,version=1}.";
    for path in ["/subjects/user", "/subjects/user/versions/1"] {
        assert_eq!(registry.delete(path).await.refusal(), (422, 42206, words), "{path}");
    }
    assert_eq!(registry.delete("/subjects/order").await.body, json!([1, 2]));
    assert_eq!(registry.get(by).await.body, json!([]));
    assert_eq!(registry.get(&format!("{by}?deleted=true")).await.body, json!([2, 3]));
    assert_eq!(registry.delete("/subjects/user").await.body, json!([1]));
    let told = registry.delete("/subjects/user?permanent=true").await;
    assert_eq!(told.refusal(), (422, 42206, words));
    registry.delete("/subjects/order?permanent=true").await;
    assert_eq!(registry.delete("/subjects/user?permanent=true").await.body, json!([1]));
    registry.stop().await;
}

#[tokio::test]
async fn references_are_kept_in_kafka() {
    let kafka = Kafka::shared().await;
    let settings = || schema_registry_client::Settings {
        kafka: Some(kafka.bootstrap()),
        kafka_topic: "_schemas-references".to_owned(),
        ..schema_registry_client::Settings::default()
    };
    let registry = Running::start(settings()).await;
    registry.ready().await;
    registry.register("user", USER).await;
    assert_eq!(registry.post("/subjects/order/versions", using(ORDER, 1)).await.body["id"], 2);
    registry.stop().await;
    let registry = Running::start(settings()).await;
    registry.ready().await;
    assert_eq!(registry.post("/subjects/order/versions", using(ORDER, 1)).await.body["id"], 2);
    assert_eq!(registry.get("/subjects/user/versions/1/referencedby").await.body, json!([2]));
    registry.stop().await;
}

#[tokio::test]
async fn references_are_remembered_of_an_upstream() {
    let upstream = Apicurio::start().await;
    let dir = tempfile::tempdir().unwrap();
    let registry = Running::start(embedded(dir.path()).with_upstream(&upstream.url())).await;
    registry.register("user", USER).await;
    let told = registry.post("/subjects/order/versions", using(ORDER, 1)).await;
    assert_eq!(told.status, 200, "{told:?}");
    upstream.stop().await;
    let again = registry.post("/subjects/order/versions", using(ORDER, 1)).await;
    assert_eq!((again.body, again.is_cached), (told.body, true));
    let told = registry.post("/subjects/order/versions", using(ORDER, 2)).await;
    assert_eq!((told.refusal().0, told.refusal().1), (503, 50003), "{told:?}");
    registry.stop().await;
}
