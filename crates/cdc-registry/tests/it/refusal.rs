//! How a halt on an incompatible schema looks, and how an operator lifts it.

use cdc_pipeline::port::{SchemaRegistry, Subject, Verdict};
use cdc_pipeline::{Classify, ErrorClass};
use cdc_registry::{Compatibility, Error, Registry};
use expect_test::expect;

pub(crate) const V1: &str = r#"{"type":"record","name":"Value","namespace":"s.t","fields":[
    {"name":"id","type":"int"},{"name":"fax","type":"string"},{"name":"total","type":"int"}]}"#;
pub(crate) const V2: &str = r#"{"type":"record","name":"Value","namespace":"s.t","fields":[
    {"name":"id","type":"int"},{"name":"email","type":"string"},{"name":"total","type":"string"}]}"#;
pub(crate) const CENTS: &str = r#"{"type":"record","name":"Value","namespace":"s.t","fields":[
    {"name":"price","type":{"type":"bytes","logicalType":"decimal","precision":10,"scale":2}}]}"#;
pub(crate) const MILLS: &str = r#"{"type":"record","name":"Value","namespace":"s.t","fields":[
    {"name":"price","type":{"type":"bytes","logicalType":"decimal","precision":10,"scale":3}}]}"#;

fn embedded() -> (Registry, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    (Registry::embedded(dir.path()).unwrap(), dir)
}

#[tokio::test]
async fn an_incompatible_schema_halts_with_what_changed_and_the_command_that_lifts_it() {
    let (registry, _dir) = embedded();
    let subject = Subject::new("s.t-value");
    registry.register(&subject, V1).await.unwrap();
    let error = registry.register(&subject, V2).await.unwrap_err();
    assert_eq!((error.class(), error.code()), (ErrorClass::Fatal, Some("SCHEMA_INCOMPATIBLE")));
    expect![[r#"new schema of subject "s.t-value" is incompatible; changes: - fax: string, + email: string, no default, ~ total: int -> string; reasons: {errorType:'READER_FIELD_MISSING_DEFAULT_VALUE', description:'The field 'email' at path '/fields/1' in the new schema has no default value and is missing in the old schema', additionalInfo:'email'}; {errorType:'TYPE_MISMATCH', description:'The type (path '/fields/2/type') of a field in the new schema does not match with the old schema', additionalInfo:'reader type: STRING not compatible with writer type: INT'}; {oldSchemaVersion: 1}; {compatibility: 'BACKWARD'}"#]]
        .assert_eq(&error.to_string());
    assert!(error.remedy().unwrap().ends_with("penstock schema accept s.t-value"));
    assert!(matches!(registry.check(&subject, V2).await.unwrap(), Verdict::Incompatible(_)));

    // WHEN the operator accepts it
    assert_eq!(registry.refused().len(), 1);
    let accepted = registry.accept_refused(&subject).await.unwrap().unwrap();

    // THEN the pipeline goes on under it, and the level is as strict as before.
    assert_eq!(registry.register(&subject, V2).await.unwrap(), accepted);
    assert_eq!(registry.check(&subject, V2).await.unwrap(), Verdict::Compatible);
    assert_eq!(registry.latest(&subject).await.unwrap().unwrap().version.0, 2);
    assert!(registry.refused().is_empty());
    assert_eq!(registry.accept_refused(&subject).await.unwrap(), None);
    let error = registry.register(&subject, CENTS).await.unwrap_err();
    assert_eq!(error.code(), Some("SCHEMA_INCOMPATIBLE"));
}

#[tokio::test]
async fn a_changed_meaning_halts_though_avro_calls_it_compatible() {
    let (registry, dir) = embedded();
    let subject = Subject::new("s.t-value");
    registry.register(&subject, CENTS).await.unwrap();
    let error = registry.register(&subject, MILLS).await.unwrap_err();
    assert_eq!((error.class(), error.code()), (ErrorClass::Fatal, Some("SCHEMA_SEMANTIC")));
    expect![[r#"new schema of subject "s.t-value" is incompatible; changes: ~ price: decimal(10,2) -> decimal(10,3); reasons: field "price": decimal scale changed, from decimal(10,2) to decimal(10,3)"#]]
        .assert_eq(&error.to_string());
    assert!(error.remedy().unwrap().ends_with("penstock schema accept s.t-value"));
    assert!(matches!(registry.check(&subject, MILLS).await.unwrap(), Verdict::Incompatible(_)));

    // Without the gate the registry would have taken it.
    drop(registry);
    let bare = cdc_registry::EmbeddedRegistry::open(dir.path()).unwrap();
    assert_eq!(bare.effective_compatibility(&subject).unwrap(), Compatibility::Backward);
    assert_eq!(bare.check(&subject, MILLS).unwrap(), None);
    drop(bare);

    let registry = Registry::embedded(dir.path()).unwrap();
    registry.accept(&subject, MILLS).await.unwrap();
    registry.register(&subject, MILLS).await.unwrap();
}

#[tokio::test]
async fn the_gate_stands_even_where_the_level_is_none() {
    let (registry, _dir) = embedded();
    let cdc_registry::Backend::Embedded(store) = registry.backend() else { unreachable!() };
    store.set_compatibility(None, Some(Compatibility::None)).unwrap();
    let subject = Subject::new("s.t-value");
    registry.register(&subject, CENTS).await.unwrap();
    let error = registry.register(&subject, MILLS).await.unwrap_err();
    assert!(matches!(error, Error::Semantic(_)));
}

#[tokio::test]
async fn an_invalid_schema_and_an_unknown_id_have_their_codes() {
    let (registry, _dir) = embedded();
    let subject = Subject::new("s.t-value");
    for error in [
        registry.register(&subject, "{}").await.unwrap_err(),
        registry.check(&subject, "{}").await.unwrap_err(),
        registry.accept(&subject, "{}").await.unwrap_err(),
    ] {
        assert_eq!((error.class(), error.code()), (ErrorClass::Fatal, Some("INVALID_SCHEMA")));
    }
    let error = registry.schema(cdc_pipeline::port::SchemaId(77)).await.unwrap_err();
    assert_eq!((error.class(), error.code()), (ErrorClass::Poison, Some("SCHEMA_UNKNOWN_ID")));
}
