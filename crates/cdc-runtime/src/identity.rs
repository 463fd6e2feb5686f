//! Who a pipeline is.

use std::fmt;
use std::path::Path;

use cdc_source_postgres::Config;
use cdc_source_postgres::wire::Connection;

/// `<systemid>-<database>-<slot>`: what slot, position topic and transactional id belong to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PipelineId(String);

impl PipelineId {
    /// Returns the identity that `data_dir` remembers, or asks the server for it.
    ///
    /// A remembered identity of another database or slot is not taken: the claim of the directory
    /// then says whose it is.
    ///
    /// # Errors
    /// If the server cannot be reached and the directory is new.
    pub async fn find(source: &Config, data_dir: &Path) -> anyhow::Result<Self> {
        let tail = format!("-{}-{}", source.connect.database, source.slot);
        let remembered = std::fs::read_to_string(data_dir.join("pipeline")).unwrap_or_default();
        let remembered = remembered.trim_end();
        let system_id = remembered.strip_suffix(&tail).unwrap_or_default();
        if !system_id.is_empty() && system_id.bytes().all(|b| b.is_ascii_digit()) {
            return Ok(Self(remembered.to_owned()));
        }
        let mut connection = Connection::connect(&source.connect, true).await?;
        let system = connection.identify_system().await?;
        Ok(Self(format!("{}{tail}", system.system_id)))
    }

    /// Makes the identity of what has no source of its own, such as a projector beside Kafka.
    pub fn named(name: impl Into<String>) -> Self {
        Self(name.into())
    }

    /// Returns the identity as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the short name that begins each record's `penstock.id`: 64 bits of FNV-1a over the
    /// identity, in hexadecimal.
    pub fn incarnation(&self) -> String {
        let hash = self.0.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        format!("{hash:016x}")
    }
}

impl fmt::Display for PipelineId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
