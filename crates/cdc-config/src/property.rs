//! Every setting that is known, and what becomes of it.
//!
//! Debezium's names and meanings: <https://debezium.io/documentation/reference/stable/connectors/postgresql.html#postgresql-connector-properties>

/// What becomes of a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Treatment {
    /// It is read.
    Used,
    /// It is read, and never shown.
    Secret,
    /// Only these values are accepted; they are what is done anyway.
    Only(&'static [&'static str]),
    /// It would change the data and is not supported; the text says what it would do.
    Refused(&'static str),
    /// It is ignored with a warning; the text says why that is harmless.
    Ignored(&'static str),
}

use Treatment::{Ignored, Only, Refused, Secret, Used};

const OURS: &str = "batches are bounded in bytes here";
const RETRIES: &str = "what may heal is retried without end here";
const SIGNALS: &str = "signals are not read here";
const NOTIFICATIONS: &str = "the status is read with penstock status here";
const LABEL: &str = "it only labels or schedules a connector";
const SELECTION: &str = "it selects or rewrites columns";
const ONLY_INITIAL: &str = "it changes what the snapshot reads";

/// Settings by name, in the order of the alphabet.
pub const KNOWN: &[(&str, Treatment)] = &[
    ("binary.handling.mode", Only(&["bytes"])),
    ("column.exclude.list", Refused(SELECTION)),
    ("column.include.list", Refused(SELECTION)),
    ("column.propagate.source.type", Refused("it adds parameters to schemas")),
    ("connector.class", Only(&["io.debezium.connector.postgresql.PostgresConnector"])),
    ("control.listen", Used),
    ("control.token.file", Used),
    ("converters", Refused("it changes how values are written")),
    ("custom.metric.tags", Ignored(LABEL)),
    ("data_dir", Used),
    ("database.dbname", Used),
    ("database.hostname", Used),
    ("database.password", Secret),
    ("database.password.file", Used),
    ("database.port", Used),
    ("database.query.timeout.ms", Ignored("queries on the catalogue are short here")),
    ("database.sslcert", Used),
    ("database.sslkey", Used),
    ("database.sslmode", Used),
    ("database.sslrootcert", Used),
    ("database.tcpKeepAlive", Ignored("status updates keep the connection alive here")),
    ("database.user", Used),
    ("datatype.propagate.source.type", Refused("it adds parameters to schemas")),
    ("decimal.handling.mode", Only(&["precise"])),
    ("errors.max.retries", Ignored(RETRIES)),
    ("errors.retry.delay.initial.ms", Ignored(RETRIES)),
    ("errors.retry.delay.max.ms", Ignored(RETRIES)),
    ("event.processing.failure.handling.mode", Only(&["fail"])),
    ("field.name.adjustment.mode", Only(&["none"])),
    ("flush.lsn.source", Only(&["true"])),
    ("format", Used),
    ("heartbeat.action.query", Ignored("heartbeats go through the log itself here")),
    ("heartbeat.interval.ms", Used),
    ("heartbeat.topics.prefix", Ignored("heartbeats need no topic here")),
    ("hstore.handling.mode", Only(&["json"])),
    ("include.schema.comments", Only(&["false"])),
    ("include.unknown.datatypes", Only(&["true"])),
    ("incremental.snapshot.chunk.size", Ignored(SIGNALS)),
    ("interval.handling.mode", Only(&["numeric"])),
    ("kafka", Used),
    ("kafka_password_file", Used),
    ("listen", Used),
    ("log.format", Used),
    ("log.level", Used),
    ("lsn.flush.mode", Only(&["connector"])),
    ("max.batch.size", Ignored(OURS)),
    ("max.queue.size", Ignored(OURS)),
    ("max.queue.size.in.bytes", Ignored(OURS)),
    ("message.key.columns", Refused("it changes the keys of records")),
    ("message.prefix.exclude.list", Refused("logical messages are not captured")),
    ("message.prefix.include.list", Refused("logical messages are not captured")),
    ("money.fraction.digits", Only(&["2"])),
    ("name", Ignored(LABEL)),
    ("plugin.name", Only(&["pgoutput"])),
    ("poll.interval.ms", Ignored("nothing polls here")),
    ("projections", Used),
    ("provide.transaction.metadata", Only(&["false"])),
    ("publication.autocreate.mode", Only(&["filtered"])),
    ("publication.name", Used),
    ("publish.via.partition.root", Only(&["false"])),
    ("registry", Used),
    ("registry_ca_file", Used),
    ("registry_password", Secret),
    ("registry_password_file", Used),
    ("registry_user", Used),
    ("replica.identity.autoset.values", Refused("it would alter tables")),
    ("retriable.restart.connector.wait.ms", Ignored(RETRIES)),
    ("schema.exclude.list", Refused("write the schemas into table.exclude.list, as schema\\..*")),
    ("schema.include.list", Refused("write the schemas into table.include.list, as schema\\..*")),
    ("schema.name.adjustment.mode", Only(&["avro", "none"])),
    ("skip.messages.without.change", Only(&["false"])),
    ("skipped.operations", Only(&["none"])),
    ("slot.drop.on.stop", Only(&["false"])),
    ("slot.failover", Only(&["false"])),
    ("slot.max.retries", Ignored(RETRIES)),
    ("slot.name", Used),
    ("slot.retry.delay.ms", Ignored(RETRIES)),
    ("slot.stream.params", Refused("it changes what the server sends")),
    ("snapshot.delay.ms", Ignored("a snapshot begins at once here")),
    ("snapshot.fetch.size", Ignored("rows are copied in chunks bounded in bytes here")),
    ("snapshot.include.collection.list", Refused(ONLY_INITIAL)),
    ("snapshot.isolation.mode", Only(&["repeatable_read", "serializable"])),
    ("snapshot.lock.timeout.ms", Ignored("a snapshot locks no table against writes here")),
    ("snapshot.locking.mode", Only(&["none"])),
    ("snapshot.max.threads", Used),
    ("snapshot.mode", Only(&["initial"])),
    ("snapshot.query.mode", Only(&["select_all"])),
    ("snapshot.select.statement.overrides", Refused(ONLY_INITIAL)),
    ("source", Secret),
    ("status.update.interval.ms", Used),
    ("table.exclude.list", Used),
    ("table.include.list", Used),
    ("tables", Used),
    ("tasks.max", Ignored(LABEL)),
    ("time.precision.mode", Only(&["adaptive"])),
    ("tombstones.on.delete", Only(&["true"])),
    ("topic.delimiter", Only(&["."])),
    ("topic.naming.strategy", Only(&["io.debezium.schema.SchemaTopicNamingStrategy"])),
    ("topic.prefix", Used),
    ("transforms", Refused("transforms change records")),
    ("unavailable.value.placeholder", Only(&["__debezium_unavailable_value"])),
    ("xmin.fetch.interval.ms", Ignored("the catalogue's horizon is not tracked here")),
];

/// Families of settings by their first part.
const FAMILIES: &[(&str, Treatment)] = &[
    ("column.", Refused(SELECTION)),
    ("converters.", Refused("it changes how values are written")),
    ("driver.", Ignored("no JDBC driver is used here")),
    ("guardrail.", Ignored("nothing is captured that does not match the patterns")),
    ("internal.", Ignored("it tunes Debezium's internals")),
    ("kafka_properties.", Used),
    ("key.converter", Refused("write format = \"avro\", \"json\" or \"json-schema\" instead")),
    ("notification.", Ignored(NOTIFICATIONS)),
    ("offset.", Ignored("the position is kept beside the data here")),
    ("openlineage.", Ignored(NOTIFICATIONS)),
    ("predicates", Refused("transforms change records")),
    ("producer.override.", Ignored(OURS)),
    ("signal.", Ignored(SIGNALS)),
    ("topic.creation.", Ignored("topics are created explicitly here")),
    ("transforms.", Refused("transforms change records")),
    ("value.converter", Refused("write format = \"avro\", \"json\" or \"json-schema\" instead")),
];

/// Parts of the names of what must not be shown.
pub(crate) const SECRET_WORDS: [&str; 6] =
    ["password", "secret", "key.pem", "jaas", "oauthbearer.config", "token"];

/// Returns what becomes of the setting `name`, or `None` if nobody knows it.
pub fn treatment(name: &str) -> Option<Treatment> {
    let exact = KNOWN.iter().find(|(known, _)| *known == name);
    let family = || FAMILIES.iter().find(|(first, _)| name.starts_with(first));
    exact.or_else(family).map(|(_, treatment)| *treatment)
}

/// Whether the value of a setting of this name must not be shown: its kind is
/// [`Treatment::Secret`], or it is a secret property of the Kafka client.
pub fn is_secret(name: &str) -> bool {
    let is_property = name.starts_with("kafka_properties.");
    matches!(treatment(name), Some(Secret))
        || (is_property && SECRET_WORDS.iter().any(|word| name.contains(word)))
}

/// Returns the known name nearest to `name`, if one is near enough to be meant.
pub fn nearest(name: &str) -> Option<&'static str> {
    let near = |known: &&str| strsim::osa_distance(known, name);
    let candidate = KNOWN.iter().map(|(known, _)| *known).min_by_key(near)?;
    let limit = (name.chars().count() / 3).clamp(1, 4);
    (near(&candidate) <= limit).then_some(candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sorted_and_unique() {
        assert!(KNOWN.is_sorted_by(|a, b| a.0 < b.0));
    }

    #[test]
    fn a_slip_finds_its_setting_and_nonsense_none() {
        assert_eq!(nearest("slot.nmae"), Some("slot.name"));
        assert_eq!(nearest("datadir"), Some("data_dir"));
        assert_eq!(nearest("colour"), None);
    }
}
