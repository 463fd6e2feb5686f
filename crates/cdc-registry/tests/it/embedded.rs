//! The embedded registry: durability, ids, deletion, settings, a store that is damaged.

use std::path::Path;

use cdc_pipeline::port::{RegisteredSchema, SchemaId, SchemaVersion, Subject};
use cdc_pipeline::{Classify, ErrorClass};
use cdc_registry::error::Rule;
use cdc_registry::store::{Deletion, Include, Mode, SCHEMA_BYTES_MAX};
use cdc_registry::{Compatibility, EmbeddedRegistry, Error};
use tempfile::TempDir;

const A: &str = r#"{"type":"record","name":"V","fields":[{"name":"id","type":"long"}]}"#;
const B: &str = r#"{"type":"record","name":"V","fields":[{"name":"id","type":"long"},
    {"name":"v","type":["null","string"],"default":null}],"connect.name":"s.V"}"#;
const INCOMPATIBLE: &str = r#"{"type":"record","name":"V","fields":[{"name":"x","type":"long"}]}"#;

fn subject(name: &str) -> Subject {
    Subject::new(name)
}

fn open(dir: &TempDir) -> EmbeddedRegistry {
    EmbeddedRegistry::open(dir.path()).unwrap()
}

fn rule(result: Result<impl std::fmt::Debug, Error>) -> Rule {
    match result.unwrap_err() {
        Error::Refused { rule, .. } => rule,
        other => panic!("{other}"),
    }
}

mod contract {
    use std::sync::Arc;

    use cdc_pipeline::port::{RegisteredSchema, SchemaId, SchemaRegistry, Subject, Verdict};
    use cdc_registry::{Registry, Result};
    use tempfile::TempDir;

    /// Keeps the folder for as long as the registry.
    struct Embedded {
        registry: Registry,
        _dir: TempDir,
    }

    impl SchemaRegistry for Embedded {
        type Error = cdc_registry::Error;

        async fn register(&self, subject: &Subject, schema: &str) -> Result<SchemaId> {
            self.registry.register(subject, schema).await
        }

        async fn check(&self, subject: &Subject, schema: &str) -> Result<Verdict> {
            self.registry.check(subject, schema).await
        }

        async fn latest(&self, subject: &Subject) -> Result<Option<RegisteredSchema>> {
            self.registry.latest(subject).await
        }

        async fn schema(&self, id: SchemaId) -> Result<Arc<str>> {
            self.registry.schema(id).await
        }
    }

    fn fixture() -> Embedded {
        let dir = tempfile::tempdir().unwrap();
        Embedded { registry: Registry::embedded(dir.path()).unwrap(), _dir: dir }
    }

    testkit::registry_contract!(std::future::ready(fixture()));
}

#[test]
fn ids_versions_and_settings_survive_a_reopen() {
    let dir = tempfile::tempdir().unwrap();
    let (s, t) = (subject("s/ü value"), subject("t-value"));
    let registry = open(&dir);
    let a = registry.register(&s, A).unwrap();
    let b = registry.register(&s, B).unwrap();
    let shared = registry.register(&t, A).unwrap();
    registry.set_compatibility(None, Some(Compatibility::FullTransitive)).unwrap();
    registry.set_compatibility(Some(&t), Some(Compatibility::None)).unwrap();
    registry.set_mode(Some(&t), Some(Mode::ReadOnly)).unwrap();
    registry.delete_version(&s, SchemaVersion(1), Deletion::Soft).unwrap();
    drop(registry);

    let registry = open(&dir);
    assert_eq!((a.id, b.id, shared.id), (SchemaId(1), SchemaId(2), SchemaId(1)));
    assert_eq!((a.version, b.version, shared.version.0), (SchemaVersion(1), SchemaVersion(2), 1));
    assert_eq!(registry.latest(&s).unwrap(), Some(b.clone()));
    assert_eq!(&*b.schema, B);
    assert_eq!(registry.schema(SchemaId(1)).unwrap().as_deref(), Some(A));
    assert_eq!(registry.subjects(Include::Live).unwrap(), [s.clone(), t.clone()]);
    assert_eq!(registry.versions(&s, Include::Live).unwrap(), [SchemaVersion(2)]);
    assert_eq!(registry.versions(&s, Include::Deleted).unwrap().len(), 2);
    assert_eq!(registry.effective_compatibility(&s).unwrap(), Compatibility::FullTransitive);
    assert_eq!(registry.effective_compatibility(&t).unwrap(), Compatibility::None);
    assert_eq!(registry.effective_mode(&t).unwrap(), Mode::ReadOnly);
    let of_a = registry.versions_of(SchemaId(1), Include::Deleted).unwrap();
    assert_eq!(of_a, [(s.clone(), SchemaVersion(1)), (t, SchemaVersion(1))]);
    assert_eq!(
        registry.register(&s, INCOMPATIBLE).unwrap_err().code(),
        Some("SCHEMA_INCOMPATIBLE")
    );
}

/// Copies the store as a killed process would leave it: open, nothing closed.
fn crash_image(from: &Path) -> TempDir {
    fn copy(from: &Path, to: &Path) {
        for entry in std::fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            let to = to.join(entry.file_name());
            if entry.file_type().unwrap().is_dir() {
                std::fs::create_dir(&to).unwrap();
                copy(&entry.path(), &to);
            } else {
                std::fs::copy(entry.path(), &to).unwrap();
            }
        }
    }
    let image = tempfile::tempdir().unwrap();
    copy(from, image.path());
    image
}

#[test]
fn what_was_registered_is_there_after_a_kill_at_any_moment() {
    let dir = tempfile::tempdir().unwrap();
    let registry = open(&dir);
    let mut known: Vec<(Subject, RegisteredSchema)> = Vec::new();
    for round in 0..10 {
        let subject = subject(&format!("t{}-value", round % 3));
        let text = format!(r#"{{"type":"fixed","name":"F","size":{round}}}"#);
        registry.set_compatibility(Some(&subject), Some(Compatibility::None)).unwrap();
        known.push((subject.clone(), registry.register(&subject, &text).unwrap()));

        let image = crash_image(dir.path());
        let reopened = open(&image);
        for (subject, schema) in &known {
            let found = reopened.version(subject, schema.version, Include::Live).unwrap();
            assert_eq!(found.as_ref(), Some(schema));
        }
        let next = reopened.register(&Subject::new("next"), "\"string\"").unwrap();
        assert_eq!(usize::try_from(next.id.0).unwrap(), known.len() + 1);
    }
}

#[test]
fn an_equal_schema_in_other_words_is_the_same_version_and_keeps_the_first_text() {
    let dir = tempfile::tempdir().unwrap();
    let registry = open(&dir);
    let s = subject("s");
    let first = registry.register(&s, A).unwrap();
    let spaced = A.replace(':', " : ");
    assert_eq!(registry.register(&s, &spaced).unwrap(), first);
    assert_eq!(registry.lookup(&s, &spaced).unwrap(), Some(first));
    assert_eq!(registry.lookup(&s, B).unwrap(), None);
    assert_eq!(registry.lookup(&subject("t"), A).unwrap(), None);
}

#[test]
fn deletion_goes_in_two_steps_and_gives_no_id_twice() {
    let dir = tempfile::tempdir().unwrap();
    let registry = open(&dir);
    let s = subject("s");
    assert_eq!(rule(registry.delete_subject(&s, Deletion::Soft)), Rule::SubjectNotFound);
    registry.register(&s, A).unwrap();
    registry.register(&s, B).unwrap();
    let second = SchemaVersion(2);
    assert_eq!(
        rule(registry.delete_version(&s, SchemaVersion(9), Deletion::Soft)),
        Rule::VersionNotFound
    );
    assert_eq!(
        rule(registry.delete_version(&s, second, Deletion::Permanent)),
        Rule::VersionNotSoftDeleted
    );
    assert_eq!(rule(registry.delete_subject(&s, Deletion::Permanent)), Rule::SubjectNotSoftDeleted);
    registry.delete_version(&s, second, Deletion::Soft).unwrap();
    assert_eq!(rule(registry.delete_version(&s, second, Deletion::Soft)), Rule::VersionSoftDeleted);
    assert_eq!(registry.latest(&s).unwrap().unwrap().version.0, 1);
    assert_eq!(registry.schema(SchemaId(2)).unwrap().as_deref(), Some(B));

    // Registered again, it is a new version with its old id.
    let again = registry.register(&s, B).unwrap();
    assert_eq!((again.id.0, again.version.0), (2, 3));

    assert_eq!(registry.delete_subject(&s, Deletion::Soft).unwrap().len(), 2);
    assert_eq!(rule(registry.delete_subject(&s, Deletion::Soft)), Rule::SubjectSoftDeleted);
    assert_eq!(registry.subjects(Include::Live).unwrap(), []);
    assert_eq!(registry.subjects(Include::Deleted).unwrap(), std::slice::from_ref(&s));
    assert_eq!(registry.delete_subject(&s, Deletion::Permanent).unwrap().len(), 3);
    assert_eq!(registry.schema(SchemaId(2)).unwrap(), None);
    drop(registry);

    let registry = open(&dir);
    assert_eq!(registry.register(&s, "\"int\"").unwrap().id, SchemaId(3));
    assert_eq!(registry.register(&subject("t"), B).unwrap().id, SchemaId(2));
    assert_eq!(registry.schema(SchemaId(2)).unwrap().as_deref(), Some(B));
}

#[test]
fn a_read_only_subject_takes_nothing_new_and_answers_what_it_knows() {
    let dir = tempfile::tempdir().unwrap();
    let registry = open(&dir);
    let s = subject("s");
    registry.register(&s, A).unwrap();
    registry.set_mode(None, Some(Mode::ReadOnly)).unwrap();
    let error = registry.register(&s, B).unwrap_err();
    assert_eq!((error.class(), error.code()), (ErrorClass::Fatal, Some("REGISTRY_REFUSED")));
    assert!(error.remedy().unwrap().contains("READWRITE"));
    assert_eq!(registry.register(&s, A).unwrap().id, SchemaId(1));
    registry.set_mode(Some(&s), Some(Mode::ReadWrite)).unwrap();
    assert_eq!(registry.register(&s, B).unwrap().id, SchemaId(2));
    registry.set_mode(None, Some(Mode::ReadOnlyOverride)).unwrap();
    assert_eq!(rule(registry.register(&s, "\"int\"")), Rule::ReadOnly);
    registry.set_mode(None, None).unwrap();
    assert_eq!(registry.effective_mode(&subject("t")).unwrap(), Mode::ReadWrite);
}

#[test]
fn bad_subjects_and_schemas_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let registry = open(&dir);
    assert_eq!(rule(registry.register(&subject("a\0b"), A)), Rule::InvalidSubject);
    let large = format!("\"{}\"", "x".repeat(SCHEMA_BYTES_MAX));
    assert_eq!(rule(registry.register(&subject("s"), &large)), Rule::SchemaTooLarge);
    let error = registry.register(&subject("s"), "{}").unwrap_err();
    assert_eq!(error.code(), Some("INVALID_SCHEMA"));
    assert_eq!(registry.subjects(Include::Deleted).unwrap(), []);
}

#[test]
fn a_second_process_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let registry = open(&dir);
    let error = EmbeddedRegistry::open(dir.path()).unwrap_err();
    assert_eq!((error.class(), error.code()), (ErrorClass::Fatal, Some("REGISTRY_STORE_LOCKED")));
    drop(registry);
    open(&dir);
}

/// Writes an entry behind the registry's back.
fn damage(dir: &TempDir, key: &[u8], value: Option<&[u8]>) {
    let database = fjall::Database::builder(dir.path()).open().unwrap();
    let keyspace = database.keyspace("registry", fjall::KeyspaceCreateOptions::default).unwrap();
    match value {
        Some(value) => keyspace.insert(key, value).unwrap(),
        None => keyspace.remove(key).unwrap(),
    }
    database.persist(fjall::PersistMode::SyncAll).unwrap();
}

#[test]
fn a_store_that_contradicts_itself_is_refused() {
    let schema_key = b"i\0\0\0\x01".as_slice();
    let cases: [(&[u8], Option<&[u8]>); 6] = [
        (schema_key, None),
        (schema_key, Some(b"garbage")),
        (schema_key, Some(br#"{"schema":"\"int\""}"#)),
        (b"s\xff\0\0\0\0\x01", Some(b"{}")),
        (b"n", Some(b"\0\0\0\0")),
        (b"v", Some(b"\0\0\0\x09")),
    ];
    for (key, value) in cases {
        let dir = tempfile::tempdir().unwrap();
        open(&dir).register(&subject("s"), A).unwrap();
        damage(&dir, key, value);
        let error = EmbeddedRegistry::open(dir.path()).unwrap_err();
        assert_eq!(error.code(), Some("REGISTRY_STORE_CORRUPT"), "{key:?}: {error}");
        assert_eq!(error.class(), ErrorClass::Fatal);
        assert!(error.remedy().unwrap().contains("backup"));
    }
}
