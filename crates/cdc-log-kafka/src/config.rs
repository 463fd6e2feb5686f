//! How to reach a Kafka cluster, and how topics are made there.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use cdc_pipeline::dead_letter::SUFFIX;
use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;

use crate::{Error, Result};

/// Settings of a [`crate::KafkaLog`].
///
/// The three maps take librdkafka's properties, security among them (`security.protocol`,
/// `sasl.mechanism`, `sasl.username`, `sasl.password`); those that carry a guarantee are refused.
/// `Debug` masks secrets.
///
/// Source: <https://github.com/confluentinc/librdkafka/blob/master/CONFIGURATION.md>
#[derive(Clone)]
pub struct KafkaConfig {
    /// `host:port` of some brokers, separated by commas.
    pub bootstrap_servers: String,
    /// Properties for every client.
    pub properties: BTreeMap<String, String>,
    /// Properties for producers only, over `properties`.
    pub producer_properties: BTreeMap<String, String>,
    /// Properties for consumers only, over `properties`.
    pub consumer_properties: BTreeMap<String, String>,
    /// First part of the names of position topics and transactional ids.
    pub prefix: String,
    /// Partitions of a topic made here, at least 1. More than one loses the order between keys.
    pub partitions: i32,
    /// Replicas of a topic made here; -1 takes the broker's default.
    pub replication_factor: i32,
    /// `none`, `gzip`, `lz4`, `snappy` or `zstd`, as far as the client was built with it.
    pub compression: String,
    /// Largest record in bytes, uncompressed; also `max.message.bytes` of topics made here.
    pub message_bytes_max: u32,
    /// How long a transaction may stay open before the broker aborts it, above 1 s. While one is
    /// open, nobody reads past it.
    pub transaction_timeout: Duration,
    /// How long opening a writer, or a request beside the stream of records, may take.
    pub request_timeout: Duration,
    /// How long a connection to one broker may take to come about.
    pub connect_timeout: Duration,
}

/// Properties on which exactly-once, order or fencing rest.
const RESERVED: [&str; 16] = [
    "bootstrap.servers",
    "metadata.broker.list",
    "transactional.id",
    "enable.idempotence",
    "acks",
    "request.required.acks",
    "isolation.level",
    "enable.auto.commit",
    "auto.offset.reset",
    "enable.partition.eof",
    "partition.assignment.strategy",
    "group.instance.id",
    "allow.auto.create.topics",
    "delivery.report.only.error",
    "message.timeout.ms",
    "transaction.timeout.ms",
];

impl KafkaConfig {
    /// Makes settings for the brokers at `bootstrap_servers`, all else by default.
    pub fn new(bootstrap_servers: impl Into<String>) -> Self {
        Self {
            bootstrap_servers: bootstrap_servers.into(),
            properties: BTreeMap::new(),
            producer_properties: BTreeMap::new(),
            consumer_properties: BTreeMap::new(),
            prefix: "penstock".to_owned(),
            partitions: 1,
            replication_factor: -1,
            compression: "lz4".to_owned(),
            message_bytes_max: 16 << 20,
            transaction_timeout: Duration::from_secs(60),
            request_timeout: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(3),
        }
    }

    /// Checks what can be checked without a broker.
    ///
    /// # Errors
    /// [`Error::Property`] for one that is reserved, unknown, or has no such value.
    pub fn check(&self) -> Result<()> {
        let refuse = |name: &str, reason: &str| {
            Err(Error::Property { name: name.to_owned(), reason: reason.to_owned() })
        };
        if self.bootstrap_servers.trim().is_empty() {
            return refuse("bootstrap.servers", "names no broker");
        }
        if self.partitions < 1 {
            return refuse("partitions", "is less than 1");
        }
        if self.transaction_timeout <= Duration::from_secs(1) {
            return refuse("transaction.timeout.ms", "is not above 1000");
        }
        let all = [&self.properties, &self.producer_properties, &self.consumer_properties];
        for name in all.into_iter().flat_map(BTreeMap::keys) {
            if RESERVED.contains(&name.as_str()) {
                return refuse(name, "is set by Penstock, for its guarantees rest on it");
            }
        }
        for config in
            [self.producer("check"), self.reader(), self.inspector(), self.member("check", None)]
        {
            config.create_native_config().map_err(|error| Error::of_property(&error))?;
        }
        Ok(())
    }

    /// Returns the property `name` that every client gets.
    pub(crate) fn property(&self, name: &str) -> Option<&str> {
        self.properties.get(name).map(String::as_str)
    }

    /// How long a record may wait for its acknowledgement; must be below the transaction's.
    pub(crate) fn message_timeout(&self) -> Duration {
        self.transaction_timeout * 3 / 4
    }

    /// Settings of a transactional producer.
    pub(crate) fn producer(&self, transactional_id: &str) -> ClientConfig {
        let mut config = self.client();
        config
            .set("transactional.id", transactional_id)
            .set("transaction.timeout.ms", millis(self.transaction_timeout))
            .set("message.timeout.ms", millis(self.message_timeout()))
            .set("message.max.bytes", self.message_bytes_max.to_string())
            .set("compression.codec", &self.compression)
            .set("allow.auto.create.topics", "false")
            // The writer drains deliveries itself; successes need no report each.
            .set("delivery.report.only.error", "true")
            .set("linger.ms", "0")
            .set("batch.size", "1000000")
            .set("batch.num.messages", "100000")
            .set("queue.buffering.max.messages", "200000")
            .set("queue.buffering.max.kbytes", "65536")
            // Right after a commit the coordinator answers "concurrent transactions" for an
            // instant; the default of 100 ms would be paid on each transaction.
            .set("retry.backoff.ms", "1");
        overlay(config, &self.producer_properties)
    }

    /// Settings of a consumer that reads committed records.
    pub(crate) fn reader(&self) -> ClientConfig {
        let mut config = self.client();
        config
            // The client wants a group; none is ever joined and no offset committed.
            .set("group.id", &self.prefix)
            .set("isolation.level", "read_committed")
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "error")
            .set("enable.partition.eof", "true")
            .set("fetch.min.bytes", "1")
            .set("fetch.wait.max.ms", "50")
            .set("fetch.message.max.bytes", "4194304")
            .set("fetch.max.bytes", "16777216")
            .set("receive.message.max.bytes", (512 + 2 * self.fetch_max()).to_string())
            .set("queued.min.messages", "100000")
            .set("queued.max.messages.kbytes", "16384")
            .set("fetch.queue.backoff.ms", "5")
            .set("fetch.error.backoff.ms", "50");
        overlay(config, &self.consumer_properties)
    }

    /// Settings of a client that is in `group`, with a fixed seat if it has an `instance`, and reads
    /// nothing.
    pub(crate) fn member(&self, group: &str, instance: Option<&str>) -> ClientConfig {
        let mut config = self.client();
        config
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "latest")
            .set("allow.auto.create.topics", "false")
            .set("partition.assignment.strategy", "cooperative-sticky")
            // How soon new topics and partitions are dealt out.
            .set("topic.metadata.refresh.interval.ms", "5000")
            .set("topic.blacklist", format!("^.*[.]{}$", SUFFIX.trim_start_matches('.')))
            .set("queued.min.messages", "1")
            .set("queued.max.messages.kbytes", "1");
        let mut config = overlay(config, &self.consumer_properties);
        config.set("group.id", group);
        if let Some(instance) = instance {
            config.set("group.instance.id", instance);
        }
        config
    }

    /// Settings of a consumer that only answers questions, about uncommitted offsets too.
    pub(crate) fn inspector(&self) -> ClientConfig {
        let mut config = self.client();
        config.set("isolation.level", "read_uncommitted");
        overlay(config, &self.consumer_properties)
    }

    /// Settings of an administrative client.
    pub(crate) fn admin(&self) -> ClientConfig {
        self.client()
    }

    fn fetch_max(&self) -> u64 {
        u64::from(self.message_bytes_max).max(16_777_216)
    }

    fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set_log_level(RDKafkaLogLevel::Warning)
            .set("bootstrap.servers", &self.bootstrap_servers)
            .set("client.id", &self.prefix)
            .set("socket.nagle.disable", "true")
            .set("socket.keepalive.enable", "true")
            .set("socket.connection.setup.timeout.ms", millis(self.connect_timeout.max(SECOND)))
            .set("reconnect.backoff.ms", "50")
            .set("reconnect.backoff.max.ms", "1000");
        overlay(config, &self.properties)
    }
}

const SECOND: Duration = Duration::from_secs(1);

fn millis(duration: Duration) -> String {
    duration.as_millis().to_string()
}

fn overlay(mut config: ClientConfig, properties: &BTreeMap<String, String>) -> ClientConfig {
    for (name, value) in properties {
        config.set(name, value);
    }
    config
}

/// Whether the value of the property `name` must not be shown.
pub fn is_secret(name: &str) -> bool {
    ["password", "secret", "key.pem", "sasl.jaas", "oauthbearer.config", "token"]
        .iter()
        .any(|part| name.contains(part))
}

impl fmt::Debug for KafkaConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |properties: &BTreeMap<String, String>| -> BTreeMap<String, String> {
            let mask = |name: &str, value: &str| if is_secret(name) { "***" } else { value }.into();
            properties.iter().map(|(name, value)| (name.clone(), mask(name, value))).collect()
        };
        f.debug_struct("KafkaConfig")
            .field("bootstrap_servers", &self.bootstrap_servers)
            .field("properties", &shown(&self.properties))
            .field("producer_properties", &shown(&self.producer_properties))
            .field("consumer_properties", &shown(&self.consumer_properties))
            .field("prefix", &self.prefix)
            .field("partitions", &self.partitions)
            .field("replication_factor", &self.replication_factor)
            .field("compression", &self.compression)
            .field("message_bytes_max", &self.message_bytes_max)
            .field("transaction_timeout", &self.transaction_timeout)
            .field("request_timeout", &self.request_timeout)
            .field("connect_timeout", &self.connect_timeout)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: &str, value: &str) -> KafkaConfig {
        let mut config = KafkaConfig::new("localhost:9092");
        config.properties.insert(name.to_owned(), value.to_owned());
        config
    }

    #[test]
    fn the_defaults_are_accepted_lz4_included() {
        KafkaConfig::new("localhost:9092").check().unwrap();
    }

    #[test]
    fn properties_that_carry_guarantees_are_refused_by_name() {
        for name in RESERVED {
            let error = with(name, "x").check().unwrap_err();
            assert!(error.to_string().contains(name), "{error}");
        }
    }

    #[test]
    fn an_unknown_property_is_refused_by_name() {
        let error = with("no.such.property", "x").check().unwrap_err();
        assert!(error.to_string().contains("no.such.property"), "{error}");
    }

    #[test]
    fn secrets_are_masked() {
        let config = with("sasl.password", "hunter2");
        assert!(!format!("{config:?}").contains("hunter2"));
        assert!(format!("{config:?}").contains("***"));
    }
}
