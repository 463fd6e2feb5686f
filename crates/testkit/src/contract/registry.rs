//! What every schema registry keeps. Instantiate with [`crate::registry_contract!`].

#![expect(clippy::missing_panics_doc, reason = "a law fails by panicking")]

use cdc_pipeline::port::{SchemaId, SchemaRegistry, Subject, Verdict};

const A: &str =
    r#"{"type":"record","name":"Value","namespace":"s.t","fields":[{"name":"id","type":"long"}]}"#;
const B: &str = r#"{"type":"record","name":"Value","namespace":"s.t","fields":[{"name":"id","type":"long"},{"name":"v","type":["null","string"],"default":null}]}"#;

/// Makes a test of each law. `$fixture` is an expression of a future of a registry whose subjects
/// are empty, or used by no one else.
#[macro_export]
macro_rules! registry_contract {
    ($fixture:expr) => {
        $crate::registry_contract!(@ $fixture,
            registering_twice_gives_the_same_id
            ids_are_immutable_and_shared_between_subjects
            latest_is_the_newest_version
            check_registers_nothing
            an_unknown_id_is_an_error);
    };
    (@ $fixture:expr, $($law:ident)*) => {
        $(#[tokio::test]
        async fn $law() {
            $crate::contract::registry::$law(&$fixture.await).await;
        })*
    };
}

fn subject(law: &str) -> Subject {
    Subject::new(format!("contract.{law}.{}-value", std::process::id()))
}

/// Register is idempotent.
pub async fn registering_twice_gives_the_same_id(registry: &impl SchemaRegistry) {
    let subject = subject("twice");
    let first = registry.register(&subject, A).await.expect("registers");
    let again = registry.register(&subject, A).await.expect("registers again");
    assert_eq!(first, again);
    let latest = registry.latest(&subject).await.expect("answers").expect("has a version");
    assert_eq!(latest.version.0, 1);
}

/// An id names one schema for ever, wherever it is registered.
pub async fn ids_are_immutable_and_shared_between_subjects(registry: &impl SchemaRegistry) {
    let a = registry.register(&subject("shared.a"), A).await.expect("registers");
    let b = registry.register(&subject("shared.a"), B).await.expect("registers");
    let other = registry.register(&subject("shared.b"), A).await.expect("registers");
    assert_ne!(a, b);
    assert_eq!(a, other);
    assert_eq!(&*registry.schema(a).await.expect("known"), A);
    assert_eq!(&*registry.schema(b).await.expect("known"), B);
}

/// The newest version is the last one registered.
pub async fn latest_is_the_newest_version(registry: &impl SchemaRegistry) {
    let subject = subject("latest");
    assert_eq!(registry.latest(&subject).await.expect("answers"), None);
    registry.register(&subject, A).await.expect("registers");
    let b = registry.register(&subject, B).await.expect("registers");
    let latest = registry.latest(&subject).await.expect("answers").expect("has versions");
    assert_eq!((latest.id, latest.version.0, &*latest.schema), (b, 2, B));
}

/// Checking changes nothing.
pub async fn check_registers_nothing(registry: &impl SchemaRegistry) {
    let subject = subject("check");
    let verdict = registry.check(&subject, A).await.expect("answers");
    assert_eq!(verdict, Verdict::Compatible);
    assert_eq!(registry.latest(&subject).await.expect("answers"), None);
}

/// An id that was never given out is refused.
pub async fn an_unknown_id_is_an_error(registry: &impl SchemaRegistry) {
    assert!(registry.schema(SchemaId(0x7fff_fff0)).await.is_err());
}
