//! The seven levels, rule by rule.

use std::convert::Infallible;

use cdc_pipeline::port::SchemaVersion;
use cdc_registry::Compatibility;
use cdc_registry::avro::Schema;
use cdc_registry::compatibility::{self, DifferenceKind, compare};
use expect_test::{Expect, expect};

use DifferenceKind::{
    FixedSizeMismatch, MissingEnumSymbols, MissingUnionBranch, NameMismatch,
    ReaderFieldMissingDefaultValue, TypeMismatch,
};

#[track_caller]
fn schema(text: &str) -> Schema {
    Schema::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn record(fields: &str) -> String {
    format!(r#"{{"type":"record","name":"R","namespace":"n","fields":[{fields}]}}"#)
}

/// Checks what the change from `old` to `new` breaks, going backward and forward.
#[track_caller]
fn check(old: &str, new: &str, backward: &[DifferenceKind], forward: &[DifferenceKind]) {
    let (old, new) = (schema(old), schema(new));
    let kinds = |level| -> Vec<_> {
        compare(level, &new, &old).into_iter().map(|difference| difference.kind).collect()
    };
    assert_eq!(kinds(Compatibility::Backward), backward, "backward");
    assert_eq!(kinds(Compatibility::BackwardTransitive), backward, "backward transitive");
    assert_eq!(kinds(Compatibility::Forward), forward, "forward");
    assert_eq!(kinds(Compatibility::ForwardTransitive), forward, "forward transitive");
    let both = [backward, forward].concat();
    assert_eq!(kinds(Compatibility::Full), both, "full");
    assert_eq!(kinds(Compatibility::FullTransitive), both, "full transitive");
    assert_eq!(kinds(Compatibility::None), [], "none");
}

#[track_caller]
fn check_fields(old: &str, new: &str, backward: &[DifferenceKind], forward: &[DifferenceKind]) {
    check(&record(old), &record(new), backward, forward);
}

const ID: &str = r#"{"name":"id","type":"long"}"#;

#[test]
fn fields_come_and_go_by_their_defaults() {
    let with = |field: &str| format!("{ID},{field}");
    let optional = with(r#"{"name":"v","type":["null","string"],"default":null}"#);
    let defaulted = with(r#"{"name":"v","type":"int","default":7}"#);
    let required = with(r#"{"name":"v","type":"int"}"#);
    check_fields(ID, &optional, &[], &[]);
    check_fields(ID, &defaulted, &[], &[]);
    check_fields(ID, &required, &[ReaderFieldMissingDefaultValue], &[]);
    check_fields(&optional, ID, &[], &[]);
    check_fields(&required, ID, &[], &[ReaderFieldMissingDefaultValue]);
    check_fields(&defaulted, &required, &[], &[]);
}

#[test]
fn a_renamed_field_is_read_by_its_alias() {
    let new = r#"{"name":"key","aliases":["id"],"type":"long"}"#;
    check_fields(ID, new, &[], &[ReaderFieldMissingDefaultValue]);
    check_fields(
        ID,
        r#"{"name":"key","type":"long"}"#,
        &[ReaderFieldMissingDefaultValue],
        &[ReaderFieldMissingDefaultValue],
    );
}

#[test]
fn primitives_promote_in_one_direction() {
    let all = ["null", "boolean", "int", "long", "float", "double", "bytes", "string"];
    let promotions = [
        ("int", "long"),
        ("int", "float"),
        ("int", "double"),
        ("long", "float"),
        ("long", "double"),
        ("float", "double"),
        ("string", "bytes"),
        ("bytes", "string"),
    ];
    let verdict = |from, to| {
        let reads = from == to || promotions.contains(&(from, to));
        if reads { vec![] } else { vec![TypeMismatch] }
    };
    for old in all {
        for new in all {
            let quoted = |name| format!("\"{name}\"");
            check(&quoted(old), &quoted(new), &verdict(old, new), &verdict(new, old));
        }
    }
}

#[test]
fn null_may_be_allowed_but_not_forbidden() {
    let nullable = r#"{"name":"id","type":["null","long"]}"#;
    check_fields(ID, nullable, &[], &[TypeMismatch]);
    check_fields(nullable, ID, &[TypeMismatch], &[]);
}

#[test]
fn unions_need_a_branch_for_every_written_one() {
    check(r#"["null","int"]"#, r#"["null","int","string"]"#, &[], &[MissingUnionBranch]);
    check(r#"["int"]"#, r#"["null","long"]"#, &[], &[MissingUnionBranch, MissingUnionBranch]);
    check("\"int\"", r#"["null","long"]"#, &[], &[TypeMismatch, TypeMismatch]);
    check("\"boolean\"", r#"["null","long"]"#, &[MissingUnionBranch], &[TypeMismatch; 2]);
    check(r#"["string","null"]"#, r#"["null","string"]"#, &[], &[]);
}

#[test]
fn enums_need_every_written_symbol_or_a_default() {
    let e = |symbols: &str, rest: &str| {
        format!(r#"{{"type":"enum","name":"E","symbols":[{symbols}]{rest}}}"#)
    };
    check(&e(r#""A""#, ""), &e(r#""A","B""#, ""), &[], &[MissingEnumSymbols]);
    check(&e(r#""A""#, r#","default":"A""#), &e(r#""B","A""#, ""), &[], &[]);
    check(&e(r#""A","B""#, ""), &e(r#""B","A""#, ""), &[], &[]);
}

#[test]
fn named_types_keep_name_and_size() {
    let f = |name: &str, size: u8, rest: &str| {
        format!(r#"{{"type":"fixed","name":"{name}","size":{size}{rest}}}"#)
    };
    check(&f("F", 2, ""), &f("F", 4, ""), &[FixedSizeMismatch], &[FixedSizeMismatch]);
    check(&f("F", 2, ""), &f("G", 2, ""), &[NameMismatch], &[NameMismatch]);
    check(&f("F", 2, ""), &f("G", 2, r#","aliases":["F"]"#), &[], &[NameMismatch]);
    check(&f("a.F", 2, ""), &f("b.F", 2, ""), &[], &[]);
    let e = r#"{"type":"enum","name":"F","symbols":["A"]}"#;
    check(&f("F", 2, ""), e, &[TypeMismatch], &[TypeMismatch]);
    check(&f("F", 2, ""), "\"bytes\"", &[TypeMismatch], &[TypeMismatch]);
}

#[test]
fn arrays_and_maps_are_read_by_their_parts() {
    let array = |items: &str| format!(r#"{{"type":"array","items":{items}}}"#);
    let map = |values: &str| format!(r#"{{"type":"map","values":{values}}}"#);
    check(&array("\"int\""), &array("\"long\""), &[], &[TypeMismatch]);
    check(&map("\"long\""), &map("\"int\""), &[TypeMismatch], &[]);
    check(&array("\"int\""), &map("\"int\""), &[TypeMismatch], &[TypeMismatch]);
}

#[test]
fn types_that_contain_themselves_are_compared_once() {
    let list = |value: &str| {
        record(&format!(
            r#"{{"name":"v","type":"{value}"}},{{"name":"next","type":["null","R"],"default":null}}"#
        ))
    };
    check(&list("int"), &list("int"), &[], &[]);
    check(&list("int"), &list("long"), &[], &[TypeMismatch]);
}

#[test]
fn logical_types_are_no_part_of_it() {
    let decimal = |scale: u8| {
        format!(r#"{{"type":"bytes","logicalType":"decimal","precision":10,"scale":{scale}}}"#)
    };
    check(&decimal(2), &decimal(4), &[], &[]);
}

#[test]
fn only_transitive_levels_look_at_older_versions() {
    let v1 = record(r#"{"name":"a","type":"int"}"#);
    let v2 = record(r#"{"name":"b","type":"int","default":0}"#);
    let v3 = record(r#"{"name":"a","type":"string","default":""},{"name":"b","type":"int"}"#);
    for level in Compatibility::ALL {
        let newest_first = [(2, &v2), (1, &v1)]
            .map(|(version, text)| Ok::<_, Infallible>((SchemaVersion(version), schema(text))));
        let Ok(found) = compatibility::check(level, &schema(&v3), newest_first);
        let found = found.map(|found| (found.version.0, found.differences.len()));
        let expected = match level {
            Compatibility::BackwardTransitive | Compatibility::ForwardTransitive => Some((1, 2)),
            Compatibility::FullTransitive => Some((1, 3)),
            _ => None,
        };
        // Backward, `b` has no default and version 1 has no `b`.
        let expected = match level {
            Compatibility::ForwardTransitive => Some((1, 1)),
            _ => expected,
        };
        assert_eq!(found, expected, "{level}");
    }
}

#[track_caller]
fn reasons(level: Compatibility, old: &str, new: &str, expected: &Expect) {
    let found = compare(level, &schema(new), &schema(old));
    let lines: Vec<_> = found.iter().map(|found| format!("{} {found}", found.path)).collect();
    expected.assert_eq(&lines.join("\n"));
}

#[test]
fn reasons_name_kind_place_and_detail() {
    let old = record(
        r#"{"name":"a","type":"int"},
           {"name":"e","type":{"type":"enum","name":"E","symbols":["X","Y"]}},
           {"name":"f","type":{"type":"fixed","name":"F","size":2}},
           {"name":"u","type":["null",{"type":"record","name":"V","fields":[
               {"name":"w","type":"int"}]}]}"#,
    );
    let new = record(
        r#"{"name":"a","type":"string"},
           {"name":"e","type":{"type":"enum","name":"E","symbols":["X"]}},
           {"name":"f","type":{"type":"fixed","name":"G","size":3}},
           {"name":"u","type":["null",{"type":"record","name":"V","fields":[
               {"name":"w","type":"string"}]}]},
           {"name":"n","type":"long"}"#,
    );
    reasons(
        Compatibility::Backward,
        &old,
        &new,
        &expect![[r"
        /fields/0/type {errorType:'TYPE_MISMATCH', description:'The type (path '/fields/0/type') of a field in the new schema does not match with the old schema', additionalInfo:'reader type: STRING not compatible with writer type: INT'}
        /fields/1/type/symbols {errorType:'MISSING_ENUM_SYMBOLS', description:'The new schema is missing enum symbols '[Y]' at path '/fields/1/type/symbols' in the old schema', additionalInfo:'[Y]'}
        /fields/2/type/name {errorType:'NAME_MISMATCH', description:'The name of the schema has changed (path '/fields/2/type/name')', additionalInfo:'expected: n.F'}
        /fields/2/type/size {errorType:'FIXED_SIZE_MISMATCH', description:'The size of FIXED type field at path '/fields/2/type/size' in the new schema does not match with the old schema', additionalInfo:'expected: 2, found: 3'}
        /fields/3/type/1 {errorType:'MISSING_UNION_BRANCH', description:'The new schema is missing a type inside a union field at path '/fields/3/type/1' in the old schema', additionalInfo:'reader union lacking writer type: RECORD'}
        /fields/4 {errorType:'READER_FIELD_MISSING_DEFAULT_VALUE', description:'The field 'n' at path '/fields/4' in the new schema has no default value and is missing in the old schema', additionalInfo:'n'}"]],
    );
}

#[test]
fn schemas_nested_too_deeply_are_refused_and_not_a_crash() {
    let definitions: Vec<String> = (0..5_000_u32)
        .map(|index| {
            let inner = match index.checked_sub(1) {
                Some(before) => format!("R{before}"),
                None => "int".to_owned(),
            };
            format!(
                r#"{{"type":"record","name":"R{index}","fields":[{{"name":"f","type":"{inner}"}}]}}"#
            )
        })
        .collect();
    // The definitions stand in a field that the other side lacks, so that the outermost record is
    // compared first.
    let side = |name: &str| {
        schema(&record(&format!(
            r#"{{"name":"{name}","type":["null",{}],"default":null}},
               {{"name":"deep","type":"R4999"}}"#,
            definitions.join(",")
        )))
    };
    let (a, b) = (side("a"), side("b"));
    let found = compare(Compatibility::Backward, &a, &b);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].detail, "too deeply nested to compare");
    assert_eq!(cdc_registry::semantic::changes(&a, &b), []);
    assert_eq!(cdc_registry::diff::lines(&a, &b).len(), 2);
}
