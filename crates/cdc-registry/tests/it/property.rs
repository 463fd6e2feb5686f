//! Laws that hold for any schema.

use cdc_registry::Compatibility;
use cdc_registry::avro::Schema;
use cdc_registry::canonical::normalise;
use cdc_registry::compatibility::compare;
use cdc_registry::{diff, semantic};
use proptest::prelude::*;
use serde_json::{Value, json};

fn primitive() -> impl Strategy<Value = Value> {
    prop_oneof![
        prop::sample::select(vec!["boolean", "int", "long", "float", "double", "bytes", "string"])
            .prop_map(|name| json!(name)),
        (1..20_u8, 0..5_u8).prop_map(|(precision, scale)| {
            json!({"type":"bytes","logicalType":"decimal","precision":precision,"scale":scale})
        }),
        Just(json!({"type":"long","connect.name":"io.debezium.time.MicroTimestamp"})),
    ]
}

fn any_type() -> impl Strategy<Value = Value> {
    primitive().prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            inner.clone().prop_map(|items| json!({"type":"array","items":items})),
            inner.clone().prop_map(|values| json!({"type":"map","values":values})),
            prop::collection::vec(inner, 0..4).prop_map(|types| {
                let fields: Vec<_> = types
                    .into_iter()
                    .enumerate()
                    .map(|(index, t)| json!({"name":format!("f{index}"),"type":t}))
                    .collect();
                json!({"type":"record","name":"?","fields":fields})
            }),
        ]
    })
}

/// Gives every record a name of its own.
fn name_records(value: &mut Value, next: &mut u32) {
    match value {
        Value::Object(object) => {
            if object.get("name") == Some(&json!("?")) {
                object.insert("name".into(), json!(format!("R{next}")));
                *next += 1;
            }
            object.values_mut().for_each(|value| name_records(value, next));
        }
        Value::Array(values) => values.iter_mut().for_each(|value| name_records(value, next)),
        _ => {}
    }
}

fn fields() -> impl Strategy<Value = Vec<Value>> {
    prop::collection::vec((any_type(), any::<bool>()), 0..6).prop_map(|types| {
        let mut next = 0;
        let fields = types.into_iter().enumerate().map(|(index, (mut t, nullable))| {
            name_records(&mut t, &mut next);
            let name = format!("c{index}");
            if nullable {
                json!({"name":name,"type":["null",t],"default":null})
            } else {
                json!({"name":name,"type":t})
            }
        });
        fields.collect()
    })
}

fn table(fields: &[Value]) -> String {
    json!({"type":"record","name":"Value","namespace":"s.t","fields":fields}).to_string()
}

/// The same schema with every object's keys in another order.
fn reversed(value: &Value) -> Value {
    match value {
        Value::Object(object) => {
            Value::Object(object.iter().rev().map(|(k, v)| (k.clone(), reversed(v))).collect())
        }
        Value::Array(values) => Value::Array(values.iter().map(reversed).collect()),
        other => other.clone(),
    }
}

proptest! {
    #[test]
    fn a_schema_is_compatible_with_itself(fields in fields()) {
        let schema = Schema::parse(&table(&fields)).unwrap();
        prop_assert_eq!(compare(Compatibility::FullTransitive, &schema, &schema), vec![]);
        prop_assert_eq!(semantic::changes(&schema, &schema), vec![]);
        prop_assert_eq!(diff::lines(&schema, &schema), Vec::<String>::new());
    }

    #[test]
    fn adding_or_dropping_an_optional_field_is_fully_compatible(
        fields in fields(), place in any::<prop::sample::Index>(), t in primitive(),
    ) {
        let old = Schema::parse(&table(&fields)).unwrap();
        let mut wider = fields.clone();
        let place = place.index(fields.len() + 1);
        wider.insert(place, json!({"name":"added","type":["null",t],"default":null}));
        let new = Schema::parse(&table(&wider)).unwrap();
        prop_assert_eq!(compare(Compatibility::Full, &new, &old), vec![]);
        prop_assert_eq!(compare(Compatibility::Full, &old, &new), vec![]);
        prop_assert_eq!(semantic::changes(&new, &old), vec![]);
        prop_assert_eq!(diff::lines(&old, &new).len(), 1);
    }

    #[test]
    fn adding_a_required_field_breaks_readers_of_old_data_only(fields in fields(), t in primitive()) {
        let old = Schema::parse(&table(&fields)).unwrap();
        let wider = [fields, vec![json!({"name":"added","type":t})]].concat();
        let new = Schema::parse(&table(&wider)).unwrap();
        prop_assert_eq!(compare(Compatibility::Backward, &new, &old).len(), 1);
        prop_assert_eq!(compare(Compatibility::Forward, &new, &old), vec![]);
    }

    #[test]
    fn forward_is_backward_with_the_sides_swapped(a in fields(), b in fields()) {
        let a = Schema::parse(&table(&a)).unwrap();
        let b = Schema::parse(&table(&b)).unwrap();
        let backward = compare(Compatibility::Backward, &a, &b).is_empty();
        prop_assert_eq!(backward, compare(Compatibility::Forward, &b, &a).is_empty());
        let full = compare(Compatibility::Full, &a, &b).is_empty();
        prop_assert_eq!(full, backward && compare(Compatibility::Forward, &a, &b).is_empty());
    }

    #[test]
    fn the_order_of_keys_does_not_matter_to_identity(fields in fields()) {
        let text = table(&fields);
        let other = reversed(&serde_json::from_str(&text).unwrap()).to_string();
        prop_assert_eq!(normalise(&text).unwrap(), normalise(&other).unwrap());
    }

    /// Where both judge, the other library must not find readable what we refuse or the reverse.
    #[test]
    fn another_avro_library_reads_our_verdict(a in primitive(), b in primitive()) {
        let reader = table(&[json!({"name":"c","type":a})]);
        let writer = table(&[json!({"name":"c","type":b})]);
        let ours = compare(
            Compatibility::Backward,
            &Schema::parse(&reader).unwrap(),
            &Schema::parse(&writer).unwrap(),
        );
        let plain = |text: &str| {
            let text = text.replace("\"logicalType\":\"decimal\",", "");
            apache_avro::Schema::parse_str(&text).unwrap()
        };
        let theirs = apache_avro::schema_compatibility::SchemaCompatibility::can_read(
            &plain(&writer), &plain(&reader));
        prop_assert_eq!(ours.is_empty(), theirs.is_ok());
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in "\\PC{0,200}") {
        if let Ok(schema) = Schema::parse(&text) {
            prop_assert_eq!(&**schema.text(), text);
        }
    }
}
