//! What is a valid schema, with Debezium's own and with another Avro library for an oracle.

use std::collections::BTreeSet;

use cdc_registry::avro::Schema;
use cdc_registry::canonical::{Fingerprint, normalise};

/// The schemas that Debezium registered for its converters' golden files.
pub(crate) fn debezium_schemas() -> Vec<String> {
    let files = [
        include_str!("../../testdata/inventory.schemas.json"),
        include_str!("../../testdata/types_misc.schemas.json"),
        include_str!("../../testdata/types_numeric.schemas.json"),
        include_str!("../../testdata/types_temporal.schemas.json"),
    ];
    let schemas = files.into_iter().flat_map(|file| {
        let file: serde_json::Map<String, serde_json::Value> = serde_json::from_str(file).unwrap();
        file.into_iter().map(|(_, text)| text.as_str().unwrap().to_owned()).collect::<Vec<_>>()
    });
    schemas.collect()
}

#[test]
fn debeziums_schemas_are_valid_and_keep_their_text() {
    let schemas = debezium_schemas();
    assert!(schemas.len() > 10);
    let mut fingerprints = BTreeSet::new();
    let unique: BTreeSet<_> = schemas.iter().collect();
    for text in &unique {
        let schema = Schema::parse(text).unwrap();
        assert_eq!(&**schema.text(), text.as_str());
        fingerprints.insert(Fingerprint::of(&schema));
        apache_avro::Schema::parse_str(text).unwrap();
    }
    assert_eq!(fingerprints.len(), unique.len());
}

#[test]
fn the_normal_form_is_a_valid_schema_and_its_own_normal_form() {
    for text in debezium_schemas() {
        let normal = normalise(&text).unwrap();
        assert_eq!(normalise(&normal).unwrap(), normal);
        let (was, is) =
            [&text, &normal].map(|text| apache_avro::Schema::parse_str(text).unwrap()).into();
        assert_eq!(was.canonical_form(), is.canonical_form());
    }
}

#[track_caller]
fn invalid(text: &str, reason: &str) {
    assert_eq!(Schema::parse(text).unwrap_err().to_string(), reason);
}

#[test]
fn invalid_schemas_are_refused_with_a_place() {
    invalid("", "not JSON at line 1");
    invalid("7", "a type must be a name, an object or a union");
    invalid("\"strin\"", "unknown type \"strin\"");
    invalid("{}", "\"type\" is missing");
    invalid(r#"{"type":"array"}"#, "\"items\" is missing");
    invalid(r#"["null",["null"]]"#, "a union inside a union");
    invalid(r#"["null","null"]"#, "\"null\" twice in a union");
    invalid(
        r#"{"type":"fixed","name":"F","size":-1}"#,
        "size of a fixed type must be a whole number",
    );
    invalid(r#"{"type":"fixed","name":"1F","size":1}"#, "\"1F\" is no valid name");
    invalid(r#"{"type":"enum","name":"E","symbols":["A","A"]}"#, "symbol \"A\" twice in an enum");
    invalid(
        r#"{"type":"enum","name":"E","symbols":["A"],"default":"B"}"#,
        "an enum's default must be one of its symbols",
    );
    invalid(r#"{"type":"record","name":"R"}"#, "\"fields\" is missing");
    let record = |fields: &str| {
        format!(r#"{{"type":"record","name":"R","namespace":"n","fields":[{fields}]}}"#)
    };
    invalid(&record(r#"{"name":"a-b","type":"int"}"#), "in \"n.R\": \"a-b\" is no valid name");
    invalid(&record(r#"{"name":"a","type":"x"}"#), "in \"n.R.a\": unknown type \"x\"");
    invalid(
        &record(r#"{"name":"a","type":"int"},{"name":"a","type":"int"}"#),
        "field \"a\" twice in record \"n.R\"",
    );
    invalid(
        &record(r#"{"name":"a","type":"int","default":"x"}"#),
        "default of field \"a\" of record \"n.R\" is no valid int",
    );
    invalid(
        &record(r#"{"name":"a","type":"int","default":3000000000}"#),
        "default of field \"a\" of record \"n.R\" is no valid int",
    );
    invalid(
        &record(r#"{"name":"a","type":{"type":"fixed","name":"R","size":1}}"#),
        "in \"n.R.a\": \"n.R\" is defined twice",
    );
}

#[test]
fn deeply_nested_text_is_refused_and_not_a_crash() {
    let depth = 100_000;
    let text = format!("{}\"int\"{}", "[".repeat(depth), "]".repeat(depth));
    assert!(Schema::parse(&text).is_err());
}
