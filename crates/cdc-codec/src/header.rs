//! The headers that carry what Debezium's envelope cannot. Only Penstock's decoder reads them.

/// JSON list of the columns of `after` that the source did not send. What stands in their place
/// in the record is for other consumers.
pub const UNCHANGED: &str = "penstock.unchanged";

/// The same for `before`, which no source of ours leaves incomplete today.
pub const UNCHANGED_BEFORE: &str = "penstock.unchanged.before";

/// JSON map of values that the record's format cannot hold, from `before.<column>` or
/// `after.<column>` to the exact text, `null`, or for an array
/// `{"text": …, "elements": […]}`.
pub const EXACT: &str = "penstock.exact";

/// Present with the value `key` where only the key's columns of `before` are known; what the
/// others hold is Debezium's filling.
pub const BEFORE: &str = "penstock.before";

/// The value of [`BEFORE`].
pub(crate) const BEFORE_KEY: &[u8] = b"key";

/// Present on the delete of a key change whose create lacks columns the source did not send: they
/// are to be taken from the row deleted.
pub const MOVED: &str = "penstock.moved";

/// On the create that follows such a delete: JSON map from the old key's columns to their exact
/// text, so that the row can be found.
pub const MOVED_FROM: &str = "penstock.moved.from";

/// The value of [`MOVED`].
pub(crate) const MOVED_TRUE: &[u8] = b"true";

/// Decimal id of the Avro schema that describes a record written as JSON.
pub const SCHEMA_ID: &str = "penstock.schema.id";

/// On the two records that end an old key: the new key's struct as JSON. Debezium's.
pub const NEW_KEY: &str = "__debezium.newkey";

/// On the record that begins a new key: the old key's struct as JSON. Debezium's.
pub const OLD_KEY: &str = "__debezium.oldkey";
