//! In front of Apicurio: passed on while it is there, remembered while it is away.

use schema_registry_client::Settings;
use serde_json::json;
use std::path::Path;
use testkit::server::apicurio::Apicurio;

use crate::world::{A, B, INCOMPATIBLE, PATIENCE, Running, embedded, schema};

/// Made of a file, as the address of an upstream is a secret.
fn settings(dir: &Path, url: &str) -> Settings {
    embedded(dir).with_upstream(url)
}

#[tokio::test]
async fn what_is_known_goes_on_while_the_upstream_is_away() {
    let upstream = Apicurio::start().await;
    let dir = tempfile::tempdir().unwrap();
    let registry = Running::start(settings(dir.path(), &upstream.url())).await;
    let id = registry.register("s", A).await;
    let told = registry.get("/subjects/s/versions/latest").await;
    assert_eq!((told.status, &told.body["schema"], told.is_cached), (200, &json!(A), false));
    let told = registry.get(&format!("/schemas/ids/{id}")).await;
    assert_eq!((told.status, &told.body["schema"]), (200, &json!(A)));
    assert_eq!(registry.get("/subjects/none/versions").await.status, 404);
    registry.put("/config/s", json!({ "compatibility": "FULL" })).await;
    let told = registry.post("/subjects/s/versions", schema(INCOMPATIBLE)).await;
    assert_eq!(told.status, 409, "{told:?}");

    upstream.stop().await;
    // As after a restart of the service, too.
    registry.stop().await;
    let registry = Running::start(settings(dir.path(), &upstream.url())).await;
    let told = registry.get(&format!("/schemas/ids/{id}")).await;
    assert_eq!((told.status, &told.body["schema"]), (200, &json!(A)));
    let told = registry.get("/subjects/s/versions/latest").await;
    assert_eq!((told.status, &told.body["schema"], told.is_cached), (200, &json!(A), true));
    assert_eq!(registry.register("s", A).await, id);
    let told = registry.post("/subjects/s", schema(A)).await;
    assert_eq!((told.status, &told.body["id"]), (200, &json!(id)));
    assert_eq!(registry.get("/subjects").await.body, json!(["s"]));
    let told = registry.get("/config/s").await;
    assert_eq!(told.body, json!({ "compatibilityLevel": "FULL" }));
    for told in [
        registry.post("/subjects/s/versions", schema(B)).await,
        registry.post("/subjects/s/versions", schema(INCOMPATIBLE)).await,
        registry.get("/subjects/none/versions").await,
        registry.get("/schemas/ids/99").await,
        registry.delete("/subjects/s").await,
        registry.put("/config", json!({ "compatibility": "NONE" })).await,
        registry.post("/compatibility/subjects/s/versions/latest", schema(B)).await,
    ] {
        assert_eq!((told.refusal().0, told.refusal().1), (503, 50003), "{told:?}");
    }
    let metrics = registry.send(reqwest::Method::GET, "/metrics", None).await.1;
    assert!(metrics.contains("penstock_registry_upstream_up 0"), "{metrics}");
    assert!(metrics.contains("penstock_registry_cache_total{outcome=\"hit\"} 1"), "{metrics}");

    // Apicurio forgets everything; the ids must not come to mean something else.
    upstream.start_again().await;
    testkit::server::until("the upstream is asked again", PATIENCE, async || {
        registry.get("/subjects/s/versions").await.status == 404
    })
    .await;
    let told = registry.post("/subjects/other/versions", schema("\"int\"")).await;
    let told = if told.status == 200 {
        registry.post("/subjects/other", schema("\"int\"")).await
    } else {
        told
    };
    assert_eq!((told.refusal().0, told.refusal().1), (500, 50001), "{told:?}");
    assert!(told.refusal().2.contains("ids were reset"), "{told:?}");
    registry.stop().await;
}
