//! Bad input of every kind: refused in Confluent's words, and never the end of the service.

use reqwest::Method;
use serde_json::json;

use crate::world::{A, B, Running, V1, embedded, schema};

#[tokio::test]
async fn bad_input_is_refused_with_its_code() {
    let dir = tempfile::tempdir().unwrap();
    let registry = Running::start(embedded(dir.path())).await;
    registry.register("s", A).await;
    let versions = "/subjects/s/versions";
    for (body, status, code) in [
        ("{", 400, 400),
        ("[]", 422, 42201),
        ("[7]", 400, 400),
        ("", 422, 422),
        ("{}", 422, 42201),
        (r#"{"schema":"{}"}"#, 422, 42201),
        (r#"{"schema":"{\"type\":\"nonsense\"}"}"#, 422, 42201),
        (r#"{"schema":"\"int\"","schemaType":"PROTOBUF"}"#, 422, 42201),
        (r#"{"schema":"\"int\"","schemaType":"JSON"}"#, 422, 42201),
        (
            r#"{"schema":"\"int\"","references":[{"name":"a","subject":"b","version":1}]}"#,
            422,
            42201,
        ),
        (r#"{"schema":"\"int\"","references":[{"name":"a"}]}"#, 422, 42201),
        (r#"{"schema":"\"int\"","references":7}"#, 400, 400),
        (r#"{"schema":"\"int\"","ruleSet":{}}"#, 422, 42201),
        (r#"{"schema":7}"#, 400, 400),
        (r#"{"schema":"\"int\"","id":4294967296}"#, 400, 400),
    ] {
        let (found, text, _) =
            registry.send(Method::POST, versions, Some((V1, body.to_owned()))).await;
        let told: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!((found, told["error_code"].as_u64()), (status, Some(code)), "{body}: {text}");
    }
    let told = registry.post(versions, json!({ "schema": B, "version": 9 })).await;
    assert_eq!(told.refusal().1, 42201, "{told:?}");
    let deep = format!("{}\"int\"{}", "[".repeat(10_000), "]".repeat(10_000));
    assert_eq!(registry.post(versions, schema(&deep)).await.refusal().1, 42201);
    for (path, status, code) in [
        ("/subjects/s/versions/0", 422, 42202),
        ("/subjects/s/versions/x", 422, 42202),
        ("/subjects/s/versions/9", 404, 40402),
        ("/subjects/none/versions/1", 404, 40401),
        ("/subjects/none/versions/latest", 404, 40401),
        ("/subjects/none/versions", 404, 40401),
        ("/schemas/ids/9", 404, 40403),
        ("/schemas/ids/9/subjects", 404, 40403),
        ("/schemas/ids/9/versions", 404, 40403),
        ("/schemas/ids/9/schema", 404, 40403),
        ("/schemas/ids/x", 404, 404),
        ("/nothing/here", 404, 404),
        ("/subjects/%FF/versions", 404, 404),
    ] {
        let told = registry.get(path).await;
        assert_eq!((told.refusal().0, told.refusal().1), (status, code), "{path}: {told:?}");
    }
    let told = registry.get("/subjects/s/versions/0").await;
    let words = "The specified version '0' is not a valid version id. Allowed values are between \
                 [1, 2^31-1] and the string \"latest\"";
    assert_eq!(told.refusal().2, words);
    assert_eq!(registry.get("/schemas/ids/9/subjects").await.refusal().2, "Schema not found");
    assert_eq!(registry.delete("/schemas").await.refusal().1, 405);
    assert_eq!(registry.post("/subjects//versions", schema(A)).await.refusal().1, 42208);
    assert_eq!(registry.post("/subjects/__GLOBAL/versions", schema(A)).await.refusal().1, 42208);
    assert_eq!(registry.post("/subjects/:.x:s/versions", schema(A)).await.refusal().1, 42208);
    assert_eq!(registry.post("/subjects/none", schema(A)).await.refusal().1, 40401);
    assert_eq!(registry.post("/subjects/s", schema("\"int\"")).await.refusal().1, 40403);
    assert_eq!(registry.get("/subjects").await.body, json!(["s"]));
    registry.stop().await;
}

#[tokio::test]
async fn settings_that_are_none_are_refused_with_their_code() {
    let dir = tempfile::tempdir().unwrap();
    let registry = Running::start(embedded(dir.path())).await;
    for (path, body, code) in [
        ("/config", json!({ "compatibility": "LOUD" }), 42203),
        ("/config", json!({}), 42203),
        ("/config/s", json!({ "compatibility": "FULL", "normalize": true }), 422),
        ("/mode/__GLOBAL", json!({ "mode": "READONLY" }), 42208),
        ("/config/__EMPTY", json!({ "compatibility": "FULL" }), 42208),
        ("/mode", json!({ "mode": "FORWARD" }), 42204),
        ("/mode/s", json!({ "mode": null }), 42204),
    ] {
        let told = registry.put(path, body).await;
        assert_eq!((told.refusal().0, told.refusal().1), (422, code), "{path}: {told:?}");
    }
    assert_eq!(registry.get("/config").await.body, json!({ "compatibilityLevel": "BACKWARD" }));
    registry.stop().await;
}

#[tokio::test]
async fn content_types_are_taken_as_confluent_takes_them() {
    let dir = tempfile::tempdir().unwrap();
    let registry = Running::start(embedded(dir.path())).await;
    let body = || schema(A).to_string();
    for kind in [
        V1,
        "application/vnd.schemaregistry+json",
        "application/json; charset=utf-8",
        "Application/JSON",
        "application/octet-stream",
    ] {
        let told = registry.send(Method::POST, "/subjects/s/versions", Some((kind, body()))).await;
        assert_eq!(told.0, 200, "{kind}: {}", told.1);
    }
    let told =
        registry.send(Method::POST, "/subjects/s/versions", Some(("text/xml", body()))).await;
    assert_eq!(told.0, 415);
    let client = crate::world::client();
    let ask = |accept: &'static str| {
        client.get(format!("{}/subjects", registry.url())).header("accept", accept).send()
    };
    let told =
        ask("application/vnd.schemaregistry.v1+json; q=0.9, application/json").await.unwrap();
    assert_eq!(
        (told.status().as_u16(), told.headers()["content-type"].to_str().unwrap()),
        (200, V1)
    );
    assert_eq!(ask("image/png").await.unwrap().status().as_u16(), 406);
    registry.stop().await;
}

#[tokio::test]
async fn large_schemas_work_and_too_large_ones_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let registry = Running::start(embedded(dir.path())).await;
    let doc = |bytes: usize| {
        let frame = r#"{"type":"record","name":"V","fields":[],"doc":""}"#;
        frame.replace("\"doc\":\"\"", &format!("\"doc\":\"{}\"", "x".repeat(bytes)))
    };
    let large = doc(1_000_000);
    let id = registry.register("large", &large).await;
    assert_eq!(registry.get(&format!("/schemas/ids/{id}")).await.body["schema"], *large);
    let told = registry.post("/subjects/large/versions", schema(&doc(1_100_000))).await;
    assert_eq!(told.refusal().1, 42209);
    let told = registry.post("/subjects/large/versions", schema(&doc(9 << 20))).await;
    assert_eq!(told.status, 413);
    registry.stop().await;
}
