//! A session that streams from the slot, and so holds it: the pipeline's lock.

use std::time::Duration;

use cdc_model::Lsn;

use crate::config::Config;
use crate::error::{Error, Halt};
use crate::sql::Sql;
use crate::status::{Phase, StatusHandle};
use crate::stream::feedback::{Feedback, FeedbackTask};
use crate::wire::{Connection, CopyReader};
use crate::{preflight, slot};

/// Between two attempts to take a slot another process holds.
const RETRY: Duration = Duration::from_secs(1);
const OLDEST: u32 = 140_000;

/// The session. Dropping it lets go of the slot.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) reader: CopyReader,
    pub(crate) feedback: Feedback,
    pub(crate) task: FeedbackTask,
}

/// Opens a replication connection to a server that is new enough.
pub(crate) async fn connect(config: &Config) -> Result<Connection, Error> {
    let connection = Connection::connect(&config.connect, true)
        .await
        .map_err(Error::wire("connecting for replication"))?;
    if connection.server_version() < OLDEST {
        let version = connection.parameter("server_version").unwrap_or("unknown").to_owned();
        return Err(Halt::ServerTooOld { version }.into());
    }
    Ok(connection)
}

/// Takes the slot, waiting while another process holds it; `None` if there is no such slot.
pub(crate) async fn take(config: &Config, status: &StatusHandle) -> Result<Option<Link>, Error> {
    loop {
        let connection = connect(config).await?;
        let error = match start(connection, config, status).await {
            Ok(link) => return Ok(Some(link)),
            Err(error) => error,
        };
        match error.sqlstate() {
            // No such object.
            Some("42704") => return Ok(None),
            // In use.
            Some("55006") => {
                let pid = holder(config).await?;
                status.set_phase(Phase::WaitingForSlot { pid });
                tokio::time::sleep(RETRY).await;
            }
            // Not in the state it must be in.
            Some("55000") => return Err(unusable(config, error).await),
            _ => return Err(error),
        }
    }
}

/// Starts to stream from the slot on `connection`.
pub(crate) async fn start(
    mut connection: Connection,
    config: &Config,
    status: &StatusHandle,
) -> Result<Link, Error> {
    let interval = status_interval(&mut connection, config).await?;
    let publication = crate::sql::ident(&config.publication);
    let options =
        [("proto_version", "1"), ("publication_names", &*publication), ("messages", "true")];
    let (reader, writer) = connection
        .start_replication(&config.slot, Lsn::ZERO, &options)
        .await
        .map_err(Error::wire("starting to stream from the slot"))?;
    let (feedback, task) = Feedback::start(writer, interval, status.clone());
    Ok(Link { reader, feedback, task })
}

/// A third of the time after which the server gives up on a silent client, or less.
async fn status_interval(connection: &mut Connection, config: &Config) -> Result<Duration, Error> {
    let rows = connection
        .query("SELECT setting FROM pg_settings WHERE name = 'wal_sender_timeout'")
        .await
        .map_err(Error::wire("reading wal_sender_timeout"))?;
    let millis = rows
        .first()
        .and_then(|row| row.first()?.as_ref())
        .and_then(|text| std::str::from_utf8(text).ok()?.parse::<u64>().ok())
        .filter(|millis| *millis > 0);
    Ok(millis.map_or(config.status_interval, |millis| {
        config.status_interval.min(Duration::from_millis(millis / 3 + 1))
    }))
}

async fn holder(config: &Config) -> Result<Option<i32>, Error> {
    let sql = Sql::connect(&config.connect).await?;
    Ok(slot::find(&sql, &config.slot).await?.and_then(|slot| slot.active_pid))
}

/// Says why the server refuses to stream from the slot.
async fn unusable(config: &Config, error: Error) -> Error {
    let found = async {
        let sql = Sql::connect(&config.connect).await?;
        preflight::Server::read(&sql).await?.require_level()?;
        slot::find(&sql, &config.slot).await
    };
    match found.await {
        Ok(Some(slot)) => match slot.lost {
            Some(reason) => Halt::SlotLost { slot: config.slot.clone(), reason }.into(),
            None if slot.plugin != "pgoutput" || slot.database != config.connect.database => {
                Halt::SlotExists { slot: config.slot.clone() }.into()
            }
            None => error,
        },
        Err(Error::Halt(halt)) => halt.into(),
        Ok(None) | Err(_) => error,
    }
}
