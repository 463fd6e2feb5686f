//! What the catalogue decides, without a journal.

use cdc_pipeline::port::{SchemaId, SchemaVersion, Subject};

use super::{Candidate, Catalog, Change, Check, Reference, Registration, SchemaText};
use crate::error::{Error, Rule};
use crate::store::{Deletion, Include, Mode};
use crate::{Compatibility, Result};

const A: &str = r#"{"type":"record","name":"V","fields":[{"name":"id","type":"long"}]}"#;
const CENTS: &str = r#"{"type":"bytes","logicalType":"decimal","precision":10,"scale":2}"#;
const MILLS: &str = r#"{"type":"bytes","logicalType":"decimal","precision":10,"scale":4}"#;

fn s() -> Subject {
    Subject::new("s")
}

fn wish(schema: &str) -> Registration<'_> {
    Registration { schema: schema.into(), id: None, version: None, check: Check::Meaning }
}

fn import(schema: &str, id: u32, version: Option<u32>) -> Registration<'_> {
    let version = version.map(SchemaVersion);
    Registration { id: Some(SchemaId(id)), version, ..wish(schema) }
}

/// Decides and applies.
fn take<T>(
    catalog: &mut Catalog,
    decide: impl FnOnce(&Catalog) -> Result<(T, Vec<Change>)>,
) -> Result<T> {
    let (answer, changes) = decide(catalog)?;
    for change in &changes {
        catalog.apply(change);
    }
    Ok(answer)
}

fn rule<T: std::fmt::Debug>(outcome: Result<T>) -> Rule {
    match outcome.unwrap_err() {
        Error::Refused { rule, .. } => rule,
        other => panic!("{other}"),
    }
}

#[test]
fn import_takes_ids_and_versions_as_given_and_overwrites_none() {
    let mut catalog = Catalog::default();
    assert_eq!(rule(catalog.register(&s(), &import(A, 7, None))), Rule::NotImport);
    take(&mut catalog, |c| c.set_mode(None, Some(Mode::Import), false)).unwrap();
    assert_eq!(rule(catalog.register(&s(), &wish(A))), Rule::NotReadWrite);
    let first = take(&mut catalog, |c| c.register(&s(), &import(A, 7, Some(3)))).unwrap();
    assert_eq!((first.id.0, first.version.0), (7, 3));
    let again = take(&mut catalog, |c| c.register(&s(), &import(A, 7, Some(3)))).unwrap();
    assert_eq!(again, first);
    let taken = Rule::IdTaken { id: SchemaId(7) };
    assert_eq!(rule(catalog.register(&s(), &import("\"int\"", 7, None))), taken);
    let taken = Rule::IdTaken { id: SchemaId(8) };
    assert_eq!(rule(catalog.register(&s(), &import("\"int\"", 8, Some(3)))), taken);
    take(&mut catalog, |c| c.register(&s(), &import("\"int\"", 9, None))).unwrap();
    take(&mut catalog, |c| c.set_mode(None, Some(Mode::ReadWrite), false)).unwrap();
    let next = take(&mut catalog, |c| c.register(&Subject::new("t"), &wish("\"long\""))).unwrap();
    assert_eq!(next.id.0, 10);
    let refused = catalog.set_mode(None, Some(Mode::Import), false);
    assert_eq!(rule(refused), Rule::ImportNotEmpty);
    take(&mut catalog, |c| c.set_mode(None, Some(Mode::Import), true)).unwrap();
}

#[test]
fn a_schema_imported_under_two_ids_is_found_under_both() {
    let mut catalog = Catalog::default();
    take(&mut catalog, |c| c.set_mode(None, Some(Mode::Import), false)).unwrap();
    take(&mut catalog, |c| c.register(&s(), &import(A, 1, None))).unwrap();
    let t = Subject::new("t");
    take(&mut catalog, |c| c.register(&t, &import(A, 2, None))).unwrap();
    let found = catalog.lookup(&t, A, Include::Live).unwrap().unwrap();
    assert_eq!((found.id.0, found.version.0), (2, 1));
    assert_eq!(catalog.lookup(&s(), A, Include::Live).unwrap().unwrap().id.0, 1);
}

#[test]
fn the_last_version_takes_its_subjects_settings_with_it() {
    let mut catalog = Catalog::default();
    take(&mut catalog, |c| c.register(&s(), &wish(A))).unwrap();
    take(&mut catalog, |c| c.set_level(Some(&s()), Some(Compatibility::Full))).unwrap();
    take(&mut catalog, |c| c.delete_subject(&s(), Deletion::Soft)).unwrap();
    assert_eq!(catalog.level(Some(&s())), Some(Compatibility::Full));
    take(&mut catalog, |c| c.delete_subject(&s(), Deletion::Permanent)).unwrap();
    assert_eq!(catalog.level(Some(&s())), None);
    assert_eq!((catalog.schemas_len(), catalog.last_id()), (0, 1));
}

#[test]
fn a_change_of_meaning_is_refused_unless_the_level_is_none() {
    let mut catalog = Catalog::default();
    take(&mut catalog, |c| c.register(&s(), &wish(CENTS))).unwrap();
    assert!(matches!(catalog.register(&s(), &wish(MILLS)), Err(Error::Semantic(_))));
    let unchecked = Registration { check: Check::Level, ..wish(MILLS) };
    assert!(catalog.register(&s(), &unchecked).is_ok());
    take(&mut catalog, |c| c.set_level(None, Some(Compatibility::None))).unwrap();
    assert!(catalog.register(&s(), &wish(MILLS)).is_ok());
}

#[test]
fn a_schema_of_another_kind_is_served_and_not_compared_with() {
    let mut catalog = Catalog::default();
    let attributes = serde_json::json!({"schemaType": "PROTOBUF"});
    let attributes = attributes.as_object().cloned().map(std::sync::Arc::new);
    let schema = SchemaText { text: "message M {}".into(), attributes };
    let (version, id) = (SchemaVersion(1), SchemaId(4));
    let change =
        Change::Version { subject: s(), version, id, schema: schema.clone(), is_deleted: false };
    catalog.apply(&change);
    assert_eq!(catalog.schema(id), Some(&schema));
    assert!(matches!(catalog.register(&s(), &wish(A)), Err(Error::Incompatible(_))));
    take(&mut catalog, |c| c.set_level(Some(&s()), Some(Compatibility::None))).unwrap();
    assert_eq!(take(&mut catalog, |c| c.register(&s(), &wish(A))).unwrap().id.0, 5);
}

#[test]
fn a_subject_deleted_up_to_a_version_keeps_later_ones() {
    let mut catalog = Catalog::default();
    take(&mut catalog, |c| c.register(&s(), &wish("\"int\""))).unwrap();
    take(&mut catalog, |c| c.register(&s(), &wish("\"long\""))).unwrap();
    let through = SchemaVersion(1);
    catalog.apply(&Change::DeleteSubject { subject: s(), through });
    assert_eq!(catalog.versions(&s(), Include::Live), [SchemaVersion(2)]);
    assert_eq!(catalog.latest(&s(), Include::Live).unwrap().version.0, 2);
}

const USER: &str = r#"{"type":"record","name":"shop.User","fields":[{"name":"id","type":"long"}]}"#;
const ORDER: &str = r#"{"type":"record","name":"shop.Order","fields":[
    {"name":"user","type":"shop.User"}]}"#;

fn refers(name: &str, subject: &str, version: u32) -> Reference {
    Reference { name: name.to_owned(), subject: subject.to_owned(), version }
}

#[test]
fn a_schema_uses_the_types_of_those_it_refers_to() {
    let mut catalog = Catalog::default();
    let (user, order) = (Subject::new("user"), Subject::new("order"));
    take(&mut catalog, |c| c.register(&user, &wish(USER))).unwrap();
    let references = [refers("shop.User", "user", 1)];
    let with =
        |text| Registration { schema: Candidate { text, references: &references }, ..wish(text) };
    assert!(matches!(catalog.register(&order, &wish(ORDER)), Err(Error::InvalidSchema { .. })));
    let first = take(&mut catalog, |c| c.register(&order, &with(ORDER))).unwrap();
    assert_eq!(first.id.0, 2);
    // However it is spelt; but not if it refers to something else.
    let spaced = ORDER.replace(':', " : ");
    let found =
        catalog.lookup(&order, Candidate { text: &spaced, references: &references }, Include::Live);
    assert_eq!(found.unwrap(), Some(first));
    let missing = [refers("shop.User", "user", 2)];
    let missing = Candidate { text: ORDER, references: &missing };
    let error = catalog.lookup(&order, missing, Include::Live).unwrap_err().to_string();
    let words = "No schema reference found for subject \"user\" and version 2";
    assert!(error.ends_with(words), "{error}");

    // What is referred to is compared, too.
    let changed = USER.replace("long", "string");
    take(&mut catalog, |c| c.set_level(Some(&user), Some(Compatibility::None))).unwrap();
    take(&mut catalog, |c| c.register(&user, &wish(&changed))).unwrap();
    let second = [refers("shop.User", "user", 2)];
    let changed = Candidate { text: ORDER, references: &second };
    let found = catalog.check(&order, changed).unwrap().unwrap();
    assert_eq!(found.differences[0].kind.name(), "TYPE_MISMATCH");
}

#[test]
fn what_others_refer_to_is_not_deleted() {
    let mut catalog = Catalog::default();
    let (user, order) = (Subject::new("user"), Subject::new("order"));
    take(&mut catalog, |c| c.register(&user, &wish(USER))).unwrap();
    let references = [refers("shop.User", "user", 1)];
    let schema = Candidate { text: ORDER, references: &references };
    take(&mut catalog, |c| c.register(&order, &Registration { schema, ..wish(ORDER) })).unwrap();
    let version = SchemaVersion(1);
    let exists = Rule::ReferenceExists { version };
    assert_eq!(rule(catalog.delete_subject(&user, Deletion::Soft)), exists);
    assert_eq!(rule(catalog.delete_version(&user, version, Deletion::Soft)), exists);
    take(&mut catalog, |c| c.delete_subject(&order, Deletion::Soft)).unwrap();
    take(&mut catalog, |c| c.delete_subject(&user, Deletion::Soft)).unwrap();
    // A softly deleted schema can come back, so what it refers to stays.
    assert_eq!(rule(catalog.delete_subject(&user, Deletion::Permanent)), exists);
    take(&mut catalog, |c| c.delete_subject(&order, Deletion::Permanent)).unwrap();
    take(&mut catalog, |c| c.delete_subject(&user, Deletion::Permanent)).unwrap();
    assert_eq!(catalog.schemas_len(), 0);
}
