//! The control of capture: the same slot's bytes, by the same connection code, read and discarded;
//! with the pauses between reads that capture makes too, without which it is slower.

use std::time::Duration;

use anyhow::bail;
use cdc_model::Lsn;
use cdc_source_postgres::wire::{Connection, CopyMessage};
use tokio::time::Instant;

use crate::process;
use crate::world::{RAW_PUBLICATION, World};

/// How long the socket fills between two reads, as in capture.
const PAUSE: Duration = Duration::from_millis(1);

/// What a drain saw.
pub(crate) struct Drained {
    pub(crate) seconds: f64,
    /// Bytes of the output plugin's messages.
    pub(crate) bytes: u64,
    /// CPU time of the server process, in µs.
    pub(crate) walsender: u64,
}

/// Reads `slot` until `rows` inserts have come.
pub(crate) async fn drain(world: &World, slot: &str, rows: u64) -> anyhow::Result<Drained> {
    let started = Instant::now();
    let connection = Connection::connect(&world.options()?, true).await?;
    let pid = connection.backend_pid();
    let options = [("proto_version", "1"), ("publication_names", RAW_PUBLICATION)];
    let (mut reader, _writer) = connection.start_replication(slot, Lsn::ZERO, &options).await?;
    let (mut seen, mut bytes) = (0, 0);
    while seen < rows {
        let mut message = Some(reader.read().await?);
        while let Some(CopyMessage::XLogData { data, .. }) = &message {
            bytes += data.len() as u64;
            seen += u64::from(data.first() == Some(&b'I'));
            message = reader.try_read_buffered()?;
        }
        if let Some(CopyMessage::Notice { message, .. }) = message {
            bail!("the server noted: {message}");
        }
        reader.rest();
        tokio::time::sleep(PAUSE).await;
    }
    let seconds = started.elapsed().as_secs_f64();
    Ok(Drained { seconds, bytes, walsender: process::cpu(pid.into())? })
}
