//! Every endpoint, asked in order as a script.

use reqwest::Method;
use serde_json::{Value, json};

use crate::world::{A, B, INCOMPATIBLE, Running, V1, embedded, schema};

#[tokio::test]
async fn schemas_are_registered_found_and_listed() {
    let dir = tempfile::tempdir().unwrap();
    let registry = Running::start(embedded(dir.path())).await;
    assert_eq!(registry.get("/").await.body, json!({}));
    assert_eq!(registry.get("/subjects").await.body, json!([]));
    assert_eq!(registry.register("t-value", A).await, 1);
    assert_eq!(registry.register("t-value", A).await, 1);
    assert_eq!(registry.register("t-value", B).await, 2);
    assert_eq!(registry.register("a%2Fb%20%C3%BC", A).await, 1);
    assert_eq!(registry.get("/subjects").await.body, json!(["a/b ü", "t-value"]));
    assert_eq!(registry.get("/subjects?subjectPrefix=t").await.body, json!(["t-value"]));
    assert_eq!(registry.get("/subjects?offset=1&limit=1").await.body, json!(["t-value"]));
    assert_eq!(registry.get("/subjects/t-value/versions").await.body, json!([1, 2]));

    let second = json!({ "subject": "t-value", "version": 2, "id": 2, "schema": B });
    for at in ["2", "latest", "-1"] {
        assert_eq!(registry.get(&format!("/subjects/t-value/versions/{at}")).await.body, second);
    }
    let (_, text, _) =
        registry.send(Method::GET, "/subjects/t-value/versions/1/schema", None).await;
    assert_eq!(text, A);
    let found = registry.get("/subjects/t-value/versions/1/referencedby").await;
    assert_eq!(found.body, json!([]));
    assert_eq!(registry.get("/subjects/a%2Fb%20%C3%BC/versions/1").await.body["subject"], "a/b ü");

    assert_eq!(registry.get("/schemas/ids/1").await.body, json!({ "schema": A }));
    let with_last = registry.get("/schemas/ids/1?fetchMaxId=true").await.body;
    assert_eq!(with_last, json!({ "schema": A, "maxId": 2 }));
    assert_eq!(registry.send(Method::GET, "/schemas/ids/2/schema", None).await.1, B);
    assert_eq!(registry.get("/schemas/ids/1/subjects").await.body, json!(["a/b ü", "t-value"]));
    let places = json!([{ "subject": "t-value", "version": 2 }]);
    assert_eq!(registry.get("/schemas/ids/2/versions").await.body, places);
    assert_eq!(registry.get("/schemas/types").await.body, json!(["AVRO"]));
    assert_eq!(registry.get("/contexts").await.body, json!(["."]));
    assert_eq!(registry.post("/", json!({})).await.body, json!({}));
    let deployment = registry.get("/v1/metadata/deployment").await.body;
    assert_eq!(deployment, json!({ "attributes": [] }));
    assert_eq!(registry.get("/v1/metadata/id").await.body["scope"]["path"], json!([]));
    assert!(registry.get("/v1/metadata/version").await.body["version"].is_string());
    let all = registry.get("/schemas?latestOnly=true&subjectPrefix=t-").await.body;
    assert_eq!(all, json!([second]));
    assert_eq!(registry.get("/schemas").await.body.as_array().unwrap().len(), 3);

    let spaced = A.replace(':', " : ");
    let found = registry.post("/subjects/t-value", schema(&spaced)).await.body;
    assert_eq!(found, json!({ "subject": "t-value", "version": 1, "id": 1, "schema": A }));
    registry.stop().await;
}

#[tokio::test]
async fn the_text_is_normalised_where_that_is_asked() {
    let dir = tempfile::tempdir().unwrap();
    let registry = Running::start(embedded(dir.path())).await;
    let spaced = r#"{ "type" : "string" }"#;
    let told = registry.post("/subjects/s/versions?normalize=true", schema(spaced)).await;
    assert_eq!(told.body, json!({ "id": 1 }));
    assert_eq!(registry.get("/schemas/ids/1").await.body, json!({ "schema": "\"string\"" }));
    registry.stop().await;
}

#[tokio::test]
async fn deletion_is_soft_first_and_then_permanent() {
    let dir = tempfile::tempdir().unwrap();
    let registry = Running::start(embedded(dir.path())).await;
    registry.register("s", A).await;
    registry.register("s", B).await;
    let kept = "Subject 's' Version 1 was not deleted first before being permanently deleted";
    let told = registry.delete("/subjects/s/versions/1?permanent=true").await;
    assert_eq!(told.refusal(), (404, 40407, kept));
    assert_eq!(registry.delete("/subjects/s/versions/1").await.body, json!(1));
    let gone = "Subject 's' Version 1 was soft deleted.Set permanent=true to delete permanently";
    assert_eq!(registry.delete("/subjects/s/versions/1").await.refusal(), (404, 40406, gone));
    let told = registry.get("/subjects/s/versions/1").await;
    assert_eq!(told.refusal(), (404, 40402, "Version 1 not found."));
    let told = registry.get("/subjects/s/versions/1?deleted=true").await;
    assert_eq!((told.status, &told.body["deleted"]), (200, &json!(true)));
    assert_eq!(registry.get("/subjects/s/versions").await.body, json!([2]));
    assert_eq!(registry.get("/subjects/s/versions?deleted=true").await.body, json!([1, 2]));
    assert_eq!(registry.get("/subjects/s/versions?deletedOnly=true").await.body, json!([1]));
    let signed = registry.get("/subjects/s/versions?deletedAsNegative=true").await.body;
    assert_eq!(signed, json!([-1, 2]));
    assert_eq!(registry.get("/subjects/s/metadata").await.body["version"], 2);
    let told = registry.get("/subjects/s/metadata?key=owner&value=me").await;
    assert_eq!(told.refusal(), (404, 40403, "Schema not found"));
    assert_eq!(registry.get("/subjects/none/metadata").await.refusal().1, 40401);
    assert_eq!(registry.get("/schemas/ids/1").await.status, 200);
    assert_eq!(registry.post("/subjects/s", schema(A)).await.refusal().1, 40403);
    assert_eq!(registry.post("/subjects/s?deleted=true", schema(A)).await.body["version"], 1);

    let told = registry.delete("/subjects/s?permanent=true").await;
    let kept = "Subject 's' was not deleted first before being permanently deleted";
    assert_eq!(told.refusal(), (404, 40405, kept));
    assert_eq!(registry.delete("/subjects/s/versions/latest").await.body, json!(2));
    let gone = "Subject 's' was soft deleted.Set permanent=true to delete permanently";
    assert_eq!(registry.delete("/subjects/s").await.refusal(), (404, 40404, gone));
    assert_eq!(registry.get("/subjects").await.body, json!([]));
    assert_eq!(registry.get("/subjects?deleted=true").await.body, json!(["s"]));
    assert_eq!(registry.get("/subjects?deletedOnly=true").await.body, json!(["s"]));
    assert_eq!(registry.delete("/subjects/s?permanent=true").await.body, json!([1, 2]));
    assert_eq!(registry.get("/schemas/ids/1").await.refusal(), (404, 40403, "Schema 1 not found"));
    let told = registry.delete("/subjects/s").await;
    assert_eq!(told.refusal(), (404, 40401, "Subject 's' not found."));
    assert_eq!(registry.register("s", "\"int\"").await, 3);
    registry.stop().await;
}

#[tokio::test]
async fn compatibility_is_checked_and_explained() {
    let dir = tempfile::tempdir().unwrap();
    let registry = Running::start(embedded(dir.path())).await;
    registry.register("s", A).await;
    registry.register("s", B).await;
    let all = "/compatibility/subjects/s/versions";
    let told = registry.post(all, schema(INCOMPATIBLE)).await;
    assert_eq!(told.body, json!({ "is_compatible": false }));
    let told = registry.post(&format!("{all}?verbose=true"), schema(INCOMPATIBLE)).await;
    let messages = told.body["messages"].to_string();
    assert!(messages.contains("READER_FIELD_MISSING_DEFAULT_VALUE"), "{messages}");
    assert!(messages.contains("compatibility: 'BACKWARD'"), "{messages}");
    for at in ["latest", "1"] {
        let told = registry.post(&format!("{all}/{at}"), schema(INCOMPATIBLE)).await;
        assert_eq!(told.body, json!({ "is_compatible": false }));
    }
    let told = registry.post(&format!("{all}/latest?verbose=true"), schema(A)).await;
    assert_eq!(told.body, json!({ "is_compatible": true, "messages": [] }));
    assert_eq!(registry.post(&format!("{all}/9"), schema(A)).await.refusal().1, 40402);
    let none = registry.post("/compatibility/subjects/none/versions/latest", schema(A)).await;
    assert_eq!(none.body, json!({ "is_compatible": true }));
    for path in ["none/versions/latest", "none/versions", "s/versions", "s/versions/1"] {
        let path = format!("/compatibility/subjects/{path}");
        assert_eq!(registry.post(&path, schema("{}")).await.refusal().1, 42201, "{path}");
        let told = registry.post(&format!("{path}?verbose=true"), schema("{}")).await.body;
        let message = told["messages"][0].as_str().unwrap();
        assert_eq!(told["is_compatible"], false);
        assert!(message.starts_with("Invalid schema of type AVRO, details: "), "{told}");
    }

    let told = registry.post("/subjects/s/versions", schema(INCOMPATIBLE)).await;
    let (status, code, message) = told.refusal();
    assert_eq!((status, code), (409, 40901));
    let words = "Schema being registered is incompatible with an earlier schema for subject \"s\", \
                 details: [{errorType:'READER_FIELD_MISSING_DEFAULT_VALUE'";
    assert!(message.starts_with(words), "{message}");
    let told = registry.post("/subjects/s/versions?force=true", schema(INCOMPATIBLE)).await;
    assert_eq!(told.body, json!({ "id": 3 }));
    registry.stop().await;
}

#[tokio::test]
async fn a_change_of_meaning_is_refused_unless_the_gate_is_open() {
    let cents = r#"{"type":"bytes","logicalType":"decimal","precision":10,"scale":2}"#;
    let mills = cents.replace("\"scale\":2", "\"scale\":4");
    let dir = tempfile::tempdir().unwrap();
    let registry = Running::start(embedded(dir.path())).await;
    registry.register("s", cents).await;
    let told = registry.post("/subjects/s/versions", schema(&mills)).await;
    assert_eq!(told.status, 409);
    assert!(told.refusal().2.contains("decimal"), "{told:?}");
    let verdict =
        registry.post("/compatibility/subjects/s/versions?verbose=true", schema(&mills)).await;
    assert_eq!(verdict.body["is_compatible"], false);
    registry.stop().await;

    let settings =
        schema_registry_client::Settings { has_semantic_gate: false, ..embedded(dir.path()) };
    let registry = Running::start(settings).await;
    assert_eq!(registry.register("s", &mills).await, 2);
    registry.stop().await;
}

#[tokio::test]
async fn levels_and_modes_are_set_asked_and_removed() {
    let dir = tempfile::tempdir().unwrap();
    let registry = Running::start(embedded(dir.path())).await;
    assert_eq!(registry.get("/config").await.body, json!({ "compatibilityLevel": "BACKWARD" }));
    let none = "Subject 's' does not have subject-level compatibility configured";
    assert_eq!(registry.get("/config/s").await.refusal(), (404, 40408, none));
    let told = registry.get("/config/s?defaultToGlobal=true").await;
    assert_eq!(told.body, json!({ "compatibilityLevel": "BACKWARD" }));
    let told = registry.put("/config/s", json!({ "compatibility": "full" })).await;
    assert_eq!(told.body, json!({ "compatibility": "FULL" }));
    let told = registry.put("/config", json!({ "compatibility": "NONE", "alias": null })).await;
    assert_eq!(told.body, json!({ "compatibility": "NONE" }));
    assert_eq!(registry.get("/config/s").await.body, json!({ "compatibilityLevel": "FULL" }));
    assert_eq!(registry.delete("/config/s").await.body, json!({ "compatibilityLevel": "FULL" }));
    assert_eq!(registry.delete("/config/s").await.refusal().1, 40401);
    assert_eq!(registry.delete("/config").await.status, 200);
    assert_eq!(registry.get("/config").await.body, json!({ "compatibilityLevel": "BACKWARD" }));

    assert_eq!(registry.get("/mode").await.body, json!({ "mode": "READWRITE" }));
    let none = "Subject 's' does not have subject-level mode configured";
    assert_eq!(registry.get("/mode/s").await.refusal(), (404, 40409, none));
    let told = registry.put("/mode/s", json!({ "mode": "READONLY" })).await;
    assert_eq!(told.body, json!({ "mode": "READONLY" }));
    let told = registry.post("/subjects/s/versions", schema(A)).await;
    assert_eq!(told.refusal(), (422, 42205, "Subject s in context . is in read-only mode"));
    let told = registry.put("/config/s", json!({ "compatibility": "FULL" })).await;
    assert_eq!(told.refusal().1, 42205);
    assert_eq!(registry.delete("/mode/s").await.body, json!({ "mode": "READONLY" }));
    registry.register("s", A).await;

    let told = registry.put("/mode", json!({ "mode": "IMPORT" })).await;
    let full = "Cannot import since found existing subjects";
    assert_eq!(told.refusal(), (422, 42205, full));
    assert_eq!(registry.put("/mode?force=true", json!({ "mode": "IMPORT" })).await.status, 200);
    let told = registry.post("/subjects/s/versions", schema(B)).await;
    assert_eq!(told.refusal(), (422, 42205, "Subject s in context . is not in read-write mode"));
    let import = json!({ "schema": B, "id": 77, "version": 5 });
    assert_eq!(registry.post("/subjects/s/versions", import).await.body, json!({ "id": 77 }));
    assert_eq!(registry.get("/subjects/s/versions").await.body, json!([1, 5]));
    let taken = registry.post("/subjects/s/versions", json!({ "schema": A, "id": 77 })).await;
    let message = "Overwrite new schema with id 77 in context . is not permitted.";
    assert_eq!(taken.refusal(), (422, 42205, message));
    registry.put("/mode/s", json!({ "mode": "IMPORT" })).await;
    let told = registry.put("/mode?force=true", json!({ "mode": "READONLY_OVERRIDE" })).await;
    assert_eq!(told.status, 200);
    let override_told = registry.delete("/subjects/s").await;
    let words = "Subject s in context . is in read-only mode";
    assert_eq!(override_told.refusal(), (422, 42205, words));
    assert_eq!(
        registry.get("/mode/t?defaultToGlobal=true").await.body["mode"],
        "READONLY_OVERRIDE"
    );
    let told = registry.delete("/mode?recursive=true").await;
    assert_eq!(told.body, json!({ "mode": "READONLY_OVERRIDE" }));
    assert_eq!(registry.get("/mode/s").await.refusal().1, 40409);
    let told = registry.post("/subjects/s/versions", json!({ "schema": A, "id": 9 })).await;
    assert_eq!(told.refusal(), (422, 42205, "Subject s in context . is not in import mode"));
    assert_eq!(registry.register("t", "\"int\"").await, 78);
    registry.stop().await;
}

#[tokio::test]
async fn a_restart_keeps_everything() {
    let dir = tempfile::tempdir().unwrap();
    let paths = [
        "/schemas?deleted=true",
        "/subjects",
        "/subjects?deleted=true",
        "/config",
        "/config/s",
        "/mode/s",
        "/schemas/ids/1/versions?deleted=true",
    ];
    let registry = Running::start(embedded(dir.path())).await;
    registry.register("s", A).await;
    registry.register("s", B).await;
    registry.register("t", "\"int\"").await;
    registry.delete("/subjects/s/versions/1").await;
    registry.delete("/subjects/t").await;
    registry.put("/config", json!({ "compatibility": "FULL" })).await;
    registry.put("/config/s", json!({ "compatibility": "FORWARD_TRANSITIVE" })).await;
    registry.put("/mode/s", json!({ "mode": "READONLY" })).await;
    let mut before: Vec<Value> = Vec::new();
    for path in paths {
        before.push(registry.get(path).await.body);
    }
    registry.stop().await;

    let registry = Running::start(embedded(dir.path())).await;
    for (path, before) in paths.into_iter().zip(before) {
        assert_eq!(registry.get(path).await.body, before, "{path}");
    }
    registry.stop().await;
}

#[tokio::test]
async fn it_is_embedded_over_a_registry_that_is_open() {
    use cdc_pipeline::port::{SchemaRegistry as _, Subject};
    let dir = tempfile::tempdir().unwrap();
    let shared = cdc_registry::Registry::embedded(dir.path()).unwrap();
    let config = schema_registry_client::Config {
        body_bytes_max: 1 << 20,
        has_semantic_gate: true,
        topic_prefix: "shop".to_owned(),
        data_dir: dir.path().join("unused"),
        users: None,
    };
    let service = schema_registry_client::over(&shared, &config).await.unwrap();
    let nested = axum::Router::new().nest("/registry", service.router());
    let registry = Running::serve(service).await;
    let id = shared.register(&Subject::new("mine"), A).await.unwrap();
    assert_eq!(registry.get("/subjects").await.body, json!(["mine"]));
    assert_eq!(registry.register("theirs", A).await, u64::from(id.0));
    assert!(shared.latest(&Subject::new("theirs")).await.unwrap().is_some());
    registry.stop().await;

    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}/registry/subjects", listener.local_addr().unwrap());
    #[expect(clippy::disallowed_methods, reason = "it ends with the test's runtime")]
    tokio::spawn(async move { axum::serve(listener, nested).await });
    let told = crate::world::client().get(url).send().await.unwrap();
    assert_eq!(told.headers()["content-type"], V1);
    assert_eq!(told.text().await.unwrap(), r#"["mine","theirs"]"#);
}

#[tokio::test]
async fn health_and_metrics_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let registry = Running::start(embedded(dir.path())).await;
    registry.register("s", A).await;
    registry.get("/subjects/none/versions").await;
    assert_eq!(registry.send(Method::GET, "/healthz", None).await.1, "ok\n");
    assert_eq!(registry.send(Method::GET, "/readyz", None).await.1, "ready\n");
    let (_, metrics, _) = registry.send(Method::GET, "/metrics", None).await;
    for line in [
        r#"penstock_registry_requests_total{route="/subjects/{subject}/versions",status="200"} 1"#,
        r#"penstock_registry_requests_total{route="/subjects/{subject}/versions",status="404"} 1"#,
        "penstock_registry_schemas 1",
        "penstock_registry_ready 1",
    ] {
        assert!(metrics.contains(line), "no {line} in\n{metrics}");
    }
    registry.stop().await;
}
