//! Changes that Avro calls compatible and that are not.

use cdc_registry::Compatibility;
use cdc_registry::avro::Schema;
use cdc_registry::compatibility::compare;
use cdc_registry::semantic::changes;
use expect_test::{Expect, expect};

fn decimal(precision: u8, scale: u8) -> String {
    format!(
        r#"{{"type":"bytes","scale":{scale},"precision":{precision},"connect.version":1,
            "connect.parameters":{{"scale":"{scale}","connect.decimal.precision":"{precision}"}},
            "connect.name":"org.apache.kafka.connect.data.Decimal","logicalType":"decimal"}}"#
    )
}

fn connect(avro: &str, name: &str) -> String {
    format!(r#"{{"type":"{avro}","connect.version":1,"connect.name":"{name}"}}"#)
}

fn logical(avro: &str, name: &str) -> String {
    format!(r#"{{"type":"{avro}","logicalType":"{name}"}}"#)
}

/// A table's envelope whose column `c` has type `column`.
fn envelope(column: &str) -> Schema {
    let text = format!(
        r#"{{"type":"record","name":"Envelope","namespace":"s.t","fields":[
            {{"name":"before","type":["null",{{"type":"record","name":"Value","fields":[
                {{"name":"id","type":"int"}},
                {{"name":"c","type":["null",{column}],"default":null}}]}}],"default":null}},
            {{"name":"after","type":["null","Value"],"default":null}},
            {{"name":"op","type":"string"}}]}}"#
    );
    Schema::parse(&text).unwrap()
}

#[track_caller]
fn check(old: &str, new: &str, expected: &Expect) {
    let (old, new) = (envelope(old), envelope(new));
    let found: Vec<_> = changes(&new, &old).iter().map(ToString::to_string).collect();
    expected.assert_eq(&found.join("\n"));
    if !found.is_empty() {
        let either = [Compatibility::Backward, Compatibility::Forward]
            .map(|level| compare(level, &new, &old).is_empty());
        assert!(either.contains(&true), "Avro alone refuses it");
    }
}

#[test]
fn a_decimal_keeps_its_scale_and_may_only_grow() {
    check(
        &decimal(10, 2),
        &decimal(10, 4),
        &expect![[
            r#"field "before.c": decimal scale changed, from decimal(10,2) to decimal(10,4)"#
        ]],
    );
    check(
        &decimal(10, 2),
        &decimal(8, 2),
        &expect![[
            r#"field "before.c": decimal precision narrowed, from decimal(10,2) to decimal(8,2)"#
        ]],
    );
    check(&decimal(10, 2), &decimal(12, 2), &expect![[""]]);
    check(&decimal(10, 2), &decimal(10, 2), &expect![[""]]);
    let plain = r#"{"type":"bytes","logicalType":"decimal","precision":10,"scale":2}"#;
    check(&decimal(10, 2), plain, &expect![[""]]);
    let fixed = |scale: u8| {
        format!(
            r#"{{"type":"fixed","name":"D","size":8,"logicalType":"decimal","precision":10,"scale":{scale}}}"#
        )
    };
    check(
        &fixed(0),
        &fixed(3),
        &expect![[
            r#"field "before.c": decimal scale changed, from decimal(10,0) to decimal(10,3)"#
        ]],
    );
}

#[test]
fn a_time_keeps_its_unit() {
    let millis = connect("long", "io.debezium.time.Timestamp");
    let micros = connect("long", "io.debezium.time.MicroTimestamp");
    check(
        &millis,
        &micros,
        &expect![[
            r#"field "before.c": unit of time changed, from io.debezium.time.Timestamp (long) to io.debezium.time.MicroTimestamp (long)"#
        ]],
    );
    check(
        &logical("long", "timestamp-micros"),
        &logical("long", "timestamp-millis"),
        &expect![[
            r#"field "before.c": unit of time changed, from timestamp-micros (long) to timestamp-millis (long)"#
        ]],
    );
    check(
        &connect("int", "io.debezium.time.Time"),
        &connect("long", "io.debezium.time.MicroTime"),
        &expect![[
            r#"field "before.c": unit of time changed, from io.debezium.time.Time (int) to io.debezium.time.MicroTime (long)"#
        ]],
    );
    check(&micros, &micros, &expect![[""]]);
    let both = r#"{"type":"long","connect.name":"org.apache.kafka.connect.data.Timestamp","logicalType":"timestamp-millis"}"#;
    check(both, &logical("long", "timestamp-millis"), &expect![[""]]);
}

#[test]
fn a_logical_type_stays_what_it_is() {
    check(
        "\"long\"",
        &connect("long", "io.debezium.time.MicroTimestamp"),
        &expect![[
            r#"field "before.c": logical type changed, from long to io.debezium.time.MicroTimestamp (long)"#
        ]],
    );
    check(
        &connect("string", "io.debezium.data.Uuid"),
        &connect("string", "io.debezium.data.Json"),
        &expect![[
            r#"field "before.c": logical type changed, from io.debezium.data.Uuid (string) to io.debezium.data.Json (string)"#
        ]],
    );
    check(
        "\"string\"",
        "\"bytes\"",
        &expect![[r#"field "before.c": text and bytes swapped, from string to bytes"#]],
    );
    check("\"int\"", "\"long\"", &expect![[""]]);
    check(&logical("int", "decimal"), "\"int\"", &expect![[""]]);
}

#[test]
fn parameters_that_do_not_change_values_are_free() {
    let of = |allowed: &str| {
        format!(
            r#"{{"type":"string","connect.version":1,"connect.parameters":{{"allowed":"{allowed}"}},
                "connect.name":"io.debezium.data.Enum"}}"#
        )
    };
    check(&of("sad,ok"), &of("sad,ok,happy"), &expect![[""]]);
}

#[test]
fn types_that_avro_refuses_are_left_to_it() {
    check(&decimal(10, 2), "\"double\"", &expect![[""]]);
    check("\"int\"", &connect("string", "io.debezium.data.Uuid"), &expect![[""]]);
}

#[test]
fn parts_of_collections_are_compared() {
    let array = |items: &str| format!(r#"{{"type":"array","items":["null",{items}]}}"#);
    let map = |values: &str| format!(r#"{{"type":"map","values":{values}}}"#);
    check(
        &array(&decimal(5, 1)),
        &array(&decimal(5, 2)),
        &expect![[
            r#"field "before.c.[]": decimal scale changed, from decimal(5,1) to decimal(5,2)"#
        ]],
    );
    check(
        &map(&decimal(5, 1)),
        &map(&decimal(5, 2)),
        &expect![[
            r#"field "before.c.{}": decimal scale changed, from decimal(5,1) to decimal(5,2)"#
        ]],
    );
}

#[test]
fn debeziums_own_schemas_agree_with_themselves() {
    for text in super::parsing::debezium_schemas() {
        let schema = Schema::parse(&text).unwrap();
        assert_eq!(changes(&schema, &schema), []);
    }
}
