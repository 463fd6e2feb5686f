//! What a table's definition would get.

use serde_json::{Value, json};

use crate::world::{Running, embedded, schema};

const CREATE: &str = "CREATE TABLE orders (id bigint PRIMARY KEY, total numeric(10,2) NOT NULL, \
                      note text, place geometry)";

async fn preview(registry: &Running, sql: &str) -> Value {
    let told = registry.post("/preview", json!({ "sql": sql, "topic_prefix": "shop" })).await;
    assert_eq!(told.status, 200, "{told:?}");
    told.body
}

fn lines(value: &Value) -> Vec<&str> {
    value.as_array().unwrap().iter().map(|line| line.as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_table_gets_what_capture_would_register() {
    let dir = tempfile::tempdir().unwrap();
    let registry = Running::start(embedded(dir.path())).await;
    let first = preview(&registry, CREATE).await;
    assert_eq!(first["table"], "public.orders");
    assert_eq!(first["topic"], "shop.public.orders");
    assert_eq!(first["value"]["subject"], "shop.public.orders-value");
    assert_eq!(first["key"]["subject"], "shop.public.orders-key");
    assert_eq!(first["value"]["latest_version"], Value::Null);
    assert_eq!(first["value"]["is_compatible"], true);
    let unknown = json!([{ "column": "place", "type": "geometry", "as": "text" }]);
    assert_eq!(first["unknown_types"], unknown);
    let envelope = first["value"]["schema"].as_str().unwrap();
    assert!(envelope.contains("org.apache.kafka.connect.data.Decimal"), "{envelope}");
    // Nothing was registered.
    assert_eq!(registry.get("/subjects?deleted=true").await.body, json!([]));

    registry.register("shop.public.orders-value", envelope).await;
    registry.register("shop.public.orders-key", first["key"]["schema"].as_str().unwrap()).await;
    let again = preview(&registry, CREATE).await;
    assert_eq!(
        (&again["value"]["changes"], &again["value"]["latest_version"]),
        (&json!([]), &json!(1))
    );
    assert_eq!(again["key"]["changes"], json!([]));

    let sql = format!("{CREATE}; ALTER TABLE orders ADD email varchar(80), DROP note");
    let changed = preview(&registry, &sql).await;
    let changes = lines(&changed["value"]["changes"]);
    assert!(
        changes.iter().any(|line| line.starts_with("+ before.email: null|string")),
        "{changes:?}"
    );
    assert!(changes.iter().any(|line| line.starts_with("- before.note")), "{changes:?}");
    assert_eq!(changed["value"]["is_compatible"], true);

    let sql = format!("{CREATE}; ALTER TABLE orders ALTER total TYPE numeric(10,4)");
    let changed = preview(&registry, &sql).await;
    assert_eq!(changed["value"]["is_compatible"], false);
    assert!(changed["value"]["reasons"].to_string().contains("decimal"), "{changed}");
    registry.stop().await;
}

#[tokio::test]
async fn an_alteration_alone_starts_from_the_latest_version() {
    let dir = tempfile::tempdir().unwrap();
    let registry = Running::start(embedded(dir.path())).await;
    let first = preview(&registry, CREATE).await;
    registry.register("shop.public.orders-value", first["value"]["schema"].as_str().unwrap()).await;
    let ask = |sql: &'static str| {
        let question = json!({ "sql": sql, "subject": "shop.public.orders-value" });
        registry.post("/preview", question)
    };
    let told = ask("ALTER TABLE orders ADD COLUMN weight double precision").await.body;
    let changes = lines(&told["value"]["changes"]);
    assert_eq!(changes, ["+ before.weight: null|double"]);
    assert_eq!((&told["value"]["is_compatible"], &told["key"]), (&json!(true), &Value::Null));

    // The same as from the whole definition.
    let whole = format!("{CREATE}; ALTER TABLE orders ADD weight double precision");
    let whole = preview(&registry, &whole).await;
    assert_eq!(whole["value"]["schema"], told["value"]["schema"]);

    let told = ask("ALTER TABLE orders ALTER COLUMN total TYPE text").await.body;
    assert_eq!(told["value"]["is_compatible"], false, "{told}");
    let told = ask("ALTER TABLE orders ADD COLUMN spare int NOT NULL").await.body;
    assert_eq!(told["value"]["is_compatible"], false, "{told}");
    assert_eq!(lines(&told["value"]["changes"]), ["+ before.spare: int, no default"]);
    let told = ask("ALTER TABLE orders RENAME COLUMN note TO remark").await.body;
    let changes = lines(&told["value"]["changes"]).join(" ");
    assert!(changes.contains("- before.note") && changes.contains("+ before.remark"), "{changes}");
    for sql in ["ALTER TABLE orders DROP COLUMN none", "ALTER TABLE orders ADD id int"] {
        assert_eq!(ask(sql).await.status, 422, "{sql}");
    }
    registry.stop().await;
}

#[tokio::test]
async fn what_cannot_be_previewed_is_told_why() {
    let dir = tempfile::tempdir().unwrap();
    let registry = Running::start(embedded(dir.path())).await;
    registry.register("plain", "\"int\"").await;
    for (question, word) in [
        (json!({ "sql": "CREATE TABL x" }), "SQL cannot be previewed"),
        (json!({ "sql": "SELECT 1" }), "no CREATE TABLE"),
        (json!({ "sql": "ALTER TABLE t ADD a int" }), "has none"),
        (json!({ "sql": "ALTER TABLE t ADD a int", "subject": "plain" }), "no envelope"),
        (json!({ "sql": CREATE, "topic_prefix": "a b" }), "topic_prefix"),
        (json!({ "sql": CREATE, "other": 1 }), "unknown field"),
        (json!({ "sql": "x".repeat(300_000) }), "longer than"),
        (schema("x"), "unknown field"),
    ] {
        let told = registry.post("/preview", question).await;
        let status = if word == "unknown field" { 400 } else { 422 };
        assert_eq!(told.status, status, "{told:?}");
        assert!(told.refusal().2.contains(word), "no {word:?} in {told:?}");
    }
    assert_eq!(registry.get("/preview").await.status, 405);
    registry.stop().await;
}
