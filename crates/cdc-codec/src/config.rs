//! What an encoder is told: names, format, and the Debezium settings that shape records.

/// How records are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Avro in Confluent's frame: a zero byte, the schema's id, Avro binary.
    Avro,
    /// JSON without schema, as Connect's `JsonConverter` with `schemas.enable=false`; the header
    /// [`crate::header::SCHEMA_ID`] names the schema.
    Json,
    /// JSON with the schema in each record, as Connect's `JsonConverter` writes by default.
    JsonWithSchema,
}

/// The settings of an encoder. Where a Debezium property has the same meaning, it is named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CodecConfig {
    /// `topic.prefix`: the first part of each topic and schema name.
    pub prefix: String,
    /// The database's name, for `source.db`.
    pub database: String,
    /// `source.connector`; default `postgresql`.
    pub connector: String,
    /// `source.version`; default `3.7.0.Final`, the profile that is followed.
    pub version: String,
    /// The format; default Avro.
    pub format: Format,
    /// `tombstones.on.delete`: whether a delete is followed by a record without value; default
    /// true, without which a compacted topic keeps deleted keys.
    pub tombstones_on_delete: bool,
    /// `unavailable.value.placeholder`: what stands for an unchanged column; default Debezium's.
    pub unavailable_value: String,
}

/// Debezium's placeholder for a value that was not sent.
pub(crate) const UNAVAILABLE_VALUE: &str = "__debezium_unavailable_value";

impl CodecConfig {
    /// Makes the settings for topics that begin with `prefix`, the others at their defaults.
    pub fn new(prefix: impl Into<String>, database: impl Into<String>) -> Self {
        Self {
            prefix: prefix.into(),
            database: database.into(),
            connector: "postgresql".to_owned(),
            version: "3.7.0.Final".to_owned(),
            format: Format::Avro,
            tombstones_on_delete: true,
            unavailable_value: UNAVAILABLE_VALUE.to_owned(),
        }
    }

    /// Sets the format.
    #[must_use]
    pub fn with_format(mut self, format: Format) -> Self {
        self.format = format;
        self
    }
}
