//! Whether a JSON value is a valid default of a type.
//!
//! Source: <https://avro.apache.org/docs/1.11.1/specification/#schema-record>

use serde_json::Value;

use super::{Kind, Node, Primitive, Schema};

/// A union's default may be of any of its branches, as Avro 1.12 has it.
pub(super) fn validate(schema: &Schema, node: &Node, value: &Value) -> bool {
    match node {
        Node::Primitive(primitive, _) => primitive_default(*primitive, value),
        Node::Array(items) => value
            .as_array()
            .is_some_and(|values| values.iter().all(|value| validate(schema, items, value))),
        Node::Map(nodes) => value
            .as_object()
            .is_some_and(|values| values.values().all(|value| validate(schema, nodes, value))),
        Node::Union(branches) => branches.iter().any(|branch| validate(schema, branch, value)),
        Node::Named(id) => match &schema.named(*id).kind {
            Kind::Fixed { size } => latin1(value).is_some_and(|length| length == *size),
            Kind::Enum { symbols, .. } => {
                value.as_str().is_some_and(|value| symbols.iter().any(|symbol| symbol == value))
            }
            // Each step goes one deeper into `value`, or stops at a field's own default, which is
            // checked by itself.
            Kind::Record(fields) => value.as_object().is_some_and(|values| {
                fields.iter().all(|field| match values.get(&field.name) {
                    Some(value) => validate(schema, &field.node, value),
                    None => field.default.is_some(),
                })
            }),
        },
    }
}

fn primitive_default(primitive: Primitive, value: &Value) -> bool {
    match primitive {
        Primitive::Null => value.is_null(),
        Primitive::Boolean => value.is_boolean(),
        Primitive::Int => value.as_i64().is_some_and(|value| i32::try_from(value).is_ok()),
        Primitive::Long => value.as_i64().is_some(),
        Primitive::Float | Primitive::Double => value.is_number(),
        Primitive::Bytes => latin1(value).is_some(),
        Primitive::String => value.is_string(),
    }
}

/// Returns how many bytes a string stands for, each character being one.
fn latin1(value: &Value) -> Option<u64> {
    let text = value.as_str()?;
    text.chars().try_fold(0, |length, c| (c <= '\u{ff}').then_some(length + 1))
}
