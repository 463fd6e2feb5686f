//! The client against a real registry: Apicurio's Confluent-compatible API.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use cdc_pipeline::port::{SchemaId, SchemaRegistry, Subject, Verdict};
use cdc_pipeline::{Classify, ErrorClass};
use cdc_registry::error::Rule;
use cdc_registry::{Backend, Error, Registry, RestClient, RestConfig};
use testkit::server::apicurio::Apicurio;

use super::refusal::{CENTS, MILLS, V1, V2};

fn config(server: &Apicurio) -> RestConfig {
    RestConfig { rounds_max: 2, ..RestConfig::new(&server.url()) }
}

async fn shared() -> Registry {
    Registry::rest(config(Apicurio::shared().await)).unwrap()
}

fn fresh(name: &str) -> Subject {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    Subject::new(format!("apicurio.{name}/{} ü-value", NEXT.fetch_add(1, Ordering::Relaxed)))
}

fn client(registry: &Registry) -> &RestClient {
    match registry.backend() {
        Backend::Rest(client) => client,
        Backend::Embedded(_) => unreachable!(),
    }
}

mod contract {
    use super::shared;

    testkit::registry_contract!(shared());
}

#[tokio::test]
async fn debeziums_schemas_come_back_as_they_were_registered() {
    let registry = shared().await;
    for text in super::parsing::debezium_schemas() {
        let id = registry.register(&fresh("debezium"), &text).await.unwrap();
        let stored = client(&registry).schema(id).await.unwrap();
        assert_eq!(stored.as_deref(), Some(text.as_str()));
    }
}

#[tokio::test]
async fn an_incompatible_schema_is_refused_and_may_be_accepted() {
    let registry = shared().await;
    let subject = fresh("refused");
    client(&registry).set_compatibility(Some(&subject), Some("FULL")).await.unwrap();
    registry.register(&subject, V1).await.unwrap();
    let error = registry.register(&subject, V2).await.unwrap_err();
    assert_eq!((error.class(), error.code()), (ErrorClass::Fatal, Some("SCHEMA_INCOMPATIBLE")));
    let objection = error.objection().unwrap();
    assert!(objection.changes.contains(&"+ email: string, no default".to_owned()), "{error}");
    assert!(matches!(registry.check(&subject, V2).await.unwrap(), Verdict::Incompatible(_)));

    let accepted = registry.accept_refused(&subject).await.unwrap().unwrap();
    assert_eq!(registry.register(&subject, V2).await.unwrap(), accepted);
    let level = client(&registry).compatibility(Some(&subject)).await.unwrap();
    assert_eq!(level.as_deref(), Some("FULL"));
    let latest = registry.latest(&subject).await.unwrap().unwrap();
    assert_eq!((latest.id, &*latest.schema), (accepted, V2));
}

#[tokio::test]
async fn the_semantic_gate_stands_before_it() {
    let registry = shared().await;
    let subject = fresh("semantic");
    registry.register(&subject, CENTS).await.unwrap();
    assert_eq!(client(&registry).check(&subject, MILLS).await.unwrap(), Verdict::Compatible);
    let error = registry.register(&subject, MILLS).await.unwrap_err();
    assert_eq!(error.code(), Some("SCHEMA_SEMANTIC"));
}

#[tokio::test]
async fn an_unknown_id_is_poison() {
    let error = shared().await.schema(SchemaId(2_000_000_000)).await.unwrap_err();
    assert_eq!((error.class(), error.code()), (ErrorClass::Poison, Some("SCHEMA_UNKNOWN_ID")));
}

#[tokio::test]
async fn away_known_schemas_go_on_and_come_back_emptied_it_halts() {
    let server = Apicurio::start().await;
    let quick = RestConfig { backoff_initial: Duration::from_millis(10), ..config(&server) };
    let registry = Registry::rest(quick).unwrap();
    let subject = fresh("away");
    let id = registry.register(&subject, V1).await.unwrap();

    // WHEN it is away
    server.stop().await;
    assert_eq!(registry.register(&subject, V1).await.unwrap(), id);
    assert_eq!(&*registry.schema(id).await.unwrap(), V1);
    let error = registry.register(&subject, CENTS).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Transient);
    assert_eq!(
        registry.schema(SchemaId(id.0 + 1)).await.unwrap_err().class(),
        ErrorClass::Transient
    );

    // WHEN it is back with nothing in it
    server.start_again().await;
    let error = registry.register(&subject, CENTS).await.unwrap_err();
    assert_eq!((error.class(), error.code()), (ErrorClass::Fatal, Some("REGISTRY_IDS_RESET")));
    assert_eq!(registry.latest(&subject).await.unwrap(), None);
}

/// Apicurio takes `NONE` of a subject for no level at all, so that its global one counts.
#[tokio::test]
async fn a_global_level_that_no_subject_can_lower_is_told() {
    let server = Apicurio::start().await;
    let registry = Registry::rest(config(&server)).unwrap();
    let subject = fresh("global");
    registry.register(&subject, V1).await.unwrap();
    client(&registry).set_compatibility(None, Some("FULL")).await.unwrap();
    let error = registry.accept(&subject, V2).await.unwrap_err();
    assert!(matches!(error, Error::Refused { rule: Rule::GlobalLevel, .. }), "{error}");
    assert!(error.remedy().unwrap().contains("global compatibility"));

    // WHEN the operator does as told
    client(&registry).set_compatibility(None, Some("NONE")).await.unwrap();
    let accepted = registry.accept(&subject, V2).await.unwrap();
    client(&registry).set_compatibility(None, Some("FULL")).await.unwrap();
    assert_eq!(registry.register(&subject, V2).await.unwrap(), accepted);
    let level = client(&registry).compatibility(None).await.unwrap();
    assert_eq!(level.as_deref(), Some("FULL"));
}
