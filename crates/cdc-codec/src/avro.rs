//! Avro: schemas as Confluent's converter writes them, values in Avro's binary encoding.
//!
//! Sources: <https://avro.apache.org/docs/1.12.0/specification/>,
//! <https://docs.confluent.io/platform/current/schema-registry/fundamentals/serdes-develop/index.html#wire-format>

pub(crate) mod plan;
pub(crate) mod read;
pub(crate) mod schema;
pub(crate) mod write;
