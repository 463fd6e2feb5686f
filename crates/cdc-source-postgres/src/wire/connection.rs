//! A connection in the state where it takes commands.

use std::collections::BTreeMap;
use std::fmt;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use cdc_model::Lsn;
use tokio::io::AsyncWriteExt;

use crate::wire::auth::{Authentication, Step};
use crate::wire::copy::{CopyReader, CopyWriter};
use crate::wire::error::{Error, ServerError};
use crate::wire::frame::{
    Frame, FrameReader, put_cstr, put_frame, put_length_prefixed, server_error, take_cstr,
};
use crate::wire::options::{ConnectOptions, Host, SslMode};
use crate::wire::stream::{self, BoxRead, BoxWrite, Encryption, Stream};

const PROTOCOL_3_0: u32 = 196_608;

/// One row of a simple query: each column as text, or NULL.
pub type SimpleRow = Vec<Option<Bytes>>;

/// A connection that takes commands, one at a time.
pub struct Connection {
    frames: FrameReader<BoxRead>,
    write: BoxWrite,
    parameters: BTreeMap<String, String>,
    backend_pid: u32,
    is_encrypted: bool,
}

/// What `IDENTIFY_SYSTEM` tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentifiedSystem {
    /// Number of the cluster, given at initdb.
    pub system_id: u64,
    /// Its timeline.
    pub timeline: u32,
    /// How far its log is flushed.
    pub flushed: Lsn,
    /// The database of this connection.
    pub database: Option<String>,
}

/// Whether creating a slot exports a snapshot that shows the database exactly at its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SlotSnapshot {
    /// Exports one, valid until the next command on this connection, or its end.
    Export,
    /// Exports none.
    Nothing,
}

/// A slot just made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreatedSlot {
    /// Changes of transactions that commit after it can be streamed.
    pub consistent_point: Lsn,
    /// The exported snapshot, for `SET TRANSACTION SNAPSHOT`.
    pub snapshot_name: Option<String>,
}

impl Connection {
    /// Opens a connection, for replication commands on its database if `replication`.
    ///
    /// # Errors
    /// Transient when the server cannot be reached, is starting, or has no connection free; fatal
    /// when TLS or authentication cannot succeed as set, or the database does not exist.
    pub async fn connect(options: &ConnectOptions, replication: bool) -> Result<Self, Error> {
        let attempt = connect_by_mode(options, replication);
        match options.connect_timeout {
            None => attempt.await,
            Some(timeout) => tokio::time::timeout(timeout, attempt).await.unwrap_or_else(|_| {
                Err(Error::ConnectTimeout { address: options.address(), timeout })
            }),
        }
    }

    /// Returns the server's version as one number: 150018 is 15.18. 0 if it does not say.
    pub fn server_version(&self) -> u32 {
        let text = self.parameter("server_version").unwrap_or_default();
        let number = text.split(|c: char| !c.is_ascii_digit() && c != '.').next();
        let mut parts = number.unwrap_or_default().split('.').map(str::parse::<u32>);
        let major = parts.next().and_then(Result::ok).unwrap_or(0);
        let minor = parts.next().and_then(Result::ok).unwrap_or(0);
        major.saturating_mul(10_000).saturating_add(minor.min(9_999))
    }

    /// Returns a setting the server reported at start-up, such as `server_version` or
    /// `server_encoding`.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.get(name).map(String::as_str)
    }

    /// Returns the server process that serves this connection.
    pub fn backend_pid(&self) -> u32 {
        self.backend_pid
    }

    /// Returns whether the connection is encrypted.
    pub fn is_encrypted(&self) -> bool {
        self.is_encrypted
    }

    /// Runs `sql` by the simple protocol and returns the rows of all its statements.
    ///
    /// # Errors
    /// The server's error, after which the connection can be used again; transient if it is lost.
    ///
    /// # Cancel safety
    /// Not safe: a dropped call leaves its answer behind, and the connection must be dropped too.
    pub async fn query(&mut self, sql: &str) -> Result<Vec<SimpleRow>, Error> {
        self.send_query(sql).await?;
        let mut rows = Vec::new();
        let mut failure: Option<Box<ServerError>> = None;
        loop {
            let frame = self.frames.next().await?;
            match frame.tag {
                b'D' => rows.push(data_row(frame.body)?),
                b'E' => {
                    let error = Box::new(server_error(frame.body)?);
                    if error.severity != "ERROR" {
                        return Err(error.into());
                    }
                    failure.get_or_insert(error);
                }
                b'Z' => return failure.map_or(Ok(rows), |error| Err(error.into())),
                b'S' => self.note_parameter(frame.body)?,
                // RowDescription, CommandComplete, EmptyQuery, Notice, Notification.
                b'T' | b'C' | b'I' | b'N' | b'A' => {}
                _ => return Err(unexpected(&frame)),
            }
        }
    }

    /// Asks who the server is (`IDENTIFY_SYSTEM`).
    ///
    /// # Errors
    /// As [`Connection::query`].
    pub async fn identify_system(&mut self) -> Result<IdentifiedSystem, Error> {
        let rows = self.query("IDENTIFY_SYSTEM").await?;
        let row = Columns::of(rows.first(), "IDENTIFY_SYSTEM")?;
        Ok(IdentifiedSystem {
            system_id: row.parse(0)?,
            timeline: row.parse(1)?,
            flushed: row.parse(2)?,
            database: row.text(3),
        })
    }

    /// Creates a logical slot for `pgoutput`. It lives until dropped, or until the connection ends
    /// if `is_temporary`. From PostgreSQL 17 on, a permanent one is marked to be synchronised to
    /// standbys.
    ///
    /// # Errors
    /// SQLSTATE 42710 if the name is taken, 53400 if no slot is free, 55000 if `wal_level` is not
    /// logical; otherwise as [`Connection::query`].
    pub async fn create_slot(
        &mut self,
        name: &str,
        is_temporary: bool,
        snapshot: SlotSnapshot,
    ) -> Result<CreatedSlot, Error> {
        let sql = create_slot_command(self.server_version(), name, is_temporary, snapshot);
        let rows = self.query(&sql).await?;
        let row = Columns::of(rows.first(), "CREATE_REPLICATION_SLOT")?;
        Ok(CreatedSlot { consistent_point: row.parse(1)?, snapshot_name: row.text(2) })
    }

    /// Drops a slot; with `wait`, waits until nobody uses it.
    ///
    /// # Errors
    /// SQLSTATE 42704 if there is none, 55006 if it is in use; otherwise as [`Connection::query`].
    pub async fn drop_slot(&mut self, name: &str, wait: bool) -> Result<(), Error> {
        let wait = if wait { " WAIT" } else { "" };
        self.query(&format!("DROP_REPLICATION_SLOT {}{wait}", quote_identifier(name))).await?;
        Ok(())
    }

    /// Starts to stream the changes of `slot` whose transactions commit at or after `start`, or
    /// from where the slot stands if that is later; `Lsn::ZERO` means the latter.
    ///
    /// `options` are those of the output plugin, such as `proto_version` and `publication_names`.
    ///
    /// # Errors
    /// SQLSTATE 55006 while another session streams from the slot, 42704 if there is none, 55000
    /// if it is invalidated; otherwise as [`Connection::query`].
    pub async fn start_replication(
        mut self,
        slot: &str,
        start: Lsn,
        options: &[(&str, &str)],
    ) -> Result<(CopyReader, CopyWriter), Error> {
        self.send_query(&start_replication_command(slot, start, options)).await?;
        loop {
            let frame = self.frames.next().await?;
            match frame.tag {
                // CopyBothResponse
                b'W' => return Ok((CopyReader::new(self.frames), CopyWriter::new(self.write))),
                b'E' => return Err(Box::new(server_error(frame.body)?).into()),
                b'N' | b'S' => {}
                _ => return Err(unexpected(&frame)),
            }
        }
    }

    /// Says goodbye and closes the connection.
    ///
    /// # Errors
    /// Transient: the connection was lost already.
    pub async fn close(mut self) -> Result<(), Error> {
        let mut message = BytesMut::new();
        put_frame(&mut message, b'X', |_| {});
        self.write.write_all(&message).await?;
        self.write.shutdown().await?;
        Ok(())
    }

    async fn send_query(&mut self, sql: &str) -> Result<(), Error> {
        let mut message = BytesMut::with_capacity(sql.len() + 6);
        put_frame(&mut message, b'Q', |body| put_cstr(body, sql));
        self.write.write_all(&message).await?;
        self.write.flush().await?;
        Ok(())
    }

    fn note_parameter(&mut self, mut body: Bytes) -> Result<(), Error> {
        let name = take_cstr(&mut body)?;
        self.parameters.insert(name, take_cstr(&mut body)?);
        Ok(())
    }

    /// Sends the start-up packet and waits until the server takes commands.
    async fn start(
        options: &ConnectOptions,
        stream: Stream,
        replication: bool,
    ) -> Result<Self, Error> {
        let mut authentication =
            Authentication::new(options, stream.is_encrypted, stream.end_point);
        let mut this = Self {
            frames: FrameReader::new(stream.read),
            write: stream.write,
            parameters: BTreeMap::new(),
            backend_pid: 0,
            is_encrypted: stream.is_encrypted,
        };
        this.send(&startup_message(options, replication)).await?;
        let mut is_authenticated = false;
        loop {
            let mut frame = this.frames.next().await?;
            match frame.tag {
                b'R' if !is_authenticated => match authentication.step(frame.body)? {
                    Step::Send(message) => this.send(&message).await?,
                    Step::Wait => {}
                    Step::Done => is_authenticated = true,
                },
                b'E' => return Err(Box::new(server_error(frame.body)?).into()),
                b'Z' if is_authenticated => return Ok(this),
                b'S' => this.note_parameter(frame.body)?,
                b'K' => this.backend_pid = frame.body.try_get_u32().unwrap_or(0),
                // Notice, NegotiateProtocolVersion.
                b'N' | b'v' => {}
                _ => return Err(unexpected(&frame)),
            }
        }
    }

    async fn send(&mut self, message: &[u8]) -> Result<(), Error> {
        self.write.write_all(message).await?;
        self.write.flush().await?;
        Ok(())
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("backend_pid", &self.backend_pid)
            .field("is_encrypted", &self.is_encrypted)
            .finish_non_exhaustive()
    }
}

/// Connects with as much TLS as `sslmode` says; `prefer` tries with, then without.
async fn connect_by_mode(options: &ConnectOptions, replication: bool) -> Result<Connection, Error> {
    let encryption = match (&options.host, options.ssl_mode) {
        (Host::Unix(_), _) | (_, SslMode::Disable) => Encryption::Never,
        (_, SslMode::Prefer) => Encryption::IfOffered,
        (_, SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull) => Encryption::Always,
    };
    let stream = match stream::open(options, encryption).await {
        Err(Error::Tls { .. }) if encryption == Encryption::IfOffered => {
            stream::open(options, Encryption::Never).await?
        }
        outcome => outcome?,
    };
    let may_fall_back = encryption == Encryption::IfOffered && stream.is_encrypted;
    match Connection::start(options, stream, replication).await {
        // pg_hba.conf may let us in without TLS only.
        Err(Error::Server(error)) if may_fall_back && error.code == "28000" => {
            let stream = stream::open(options, Encryption::Never).await?;
            Connection::start(options, stream, replication).await
        }
        outcome => outcome,
    }
}

fn startup_message(options: &ConnectOptions, replication: bool) -> BytesMut {
    let mut message = BytesMut::new();
    put_length_prefixed(&mut message, |body| {
        body.put_u32(PROTOCOL_3_0);
        let pinned = options.startup_options();
        let mut put = |name: &str, value: &str| {
            put_cstr(body, name);
            put_cstr(body, value);
        };
        put("user", &options.user);
        put("database", &options.database);
        put("client_encoding", "UTF8");
        put("application_name", &options.application_name);
        put("options", &pinned);
        if replication {
            put("replication", "database");
        }
        body.put_u8(0);
    });
    message
}

fn create_slot_command(
    version: u32,
    name: &str,
    is_temporary: bool,
    snapshot: SlotSnapshot,
) -> String {
    let name = quote_identifier(name);
    let temporary = if is_temporary { " TEMPORARY" } else { "" };
    let options = match (version, snapshot) {
        (..150_000, SlotSnapshot::Export) => " EXPORT_SNAPSHOT".to_owned(),
        (..150_000, SlotSnapshot::Nothing) => " NOEXPORT_SNAPSHOT".to_owned(),
        (_, snapshot) => {
            let snapshot = match snapshot {
                SlotSnapshot::Export => "export",
                SlotSnapshot::Nothing => "nothing",
            };
            let failover = if version >= 170_000 && !is_temporary { ", FAILOVER" } else { "" };
            format!(" (SNAPSHOT '{snapshot}'{failover})")
        }
    };
    format!("CREATE_REPLICATION_SLOT {name}{temporary} LOGICAL pgoutput{options}")
}

fn start_replication_command(slot: &str, start: Lsn, options: &[(&str, &str)]) -> String {
    let slot = quote_identifier(slot);
    let mut sql = format!("START_REPLICATION SLOT {slot} LOGICAL {start}");
    for (index, (name, value)) in options.iter().enumerate() {
        sql.push_str(if index == 0 { " (" } else { ", " });
        sql.push_str(&format!("{} '{}'", quote_identifier(name), value.replace('\'', "''")));
    }
    if !options.is_empty() {
        sql.push(')');
    }
    sql
}

fn quote_identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn data_row(mut body: Bytes) -> Result<SimpleRow, Error> {
    let short = || Error::Protocol("a row ends early".to_owned());
    let count = body.try_get_u16().map_err(|_| short())?;
    let mut row = SimpleRow::with_capacity(usize::from(count));
    for _ in 0..count {
        let length = body.try_get_i32().map_err(|_| short())?;
        row.push(match usize::try_from(length) {
            Err(_) => None,
            Ok(length) if length <= body.len() => Some(body.split_to(length)),
            Ok(_) => return Err(short()),
        });
    }
    Ok(row)
}

fn unexpected(frame: &Frame) -> Error {
    Error::Protocol(format!("message {:?}", char::from(frame.tag)))
}

/// The one row a replication command answers with.
struct Columns<'a> {
    row: &'a SimpleRow,
    command: &'static str,
}

impl<'a> Columns<'a> {
    fn of(row: Option<&'a SimpleRow>, command: &'static str) -> Result<Self, Error> {
        let row = row.ok_or_else(|| Error::Protocol(format!("{command} returned no row")))?;
        Ok(Self { row, command })
    }

    fn text(&self, index: usize) -> Option<String> {
        let bytes = self.row.get(index)?.as_ref()?;
        Some(String::from_utf8_lossy(bytes).into_owned())
    }

    fn parse<T: std::str::FromStr>(&self, index: usize) -> Result<T, Error> {
        self.text(index)
            .and_then(|text| text.parse().ok())
            .ok_or_else(|| Error::Protocol(format!("column {index} of {}", self.command)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slot_commands_follow_the_servers_version() {
        use SlotSnapshot::{Export, Nothing};

        let command = |version, temporary, snapshot| {
            create_slot_command(version, "a\"b", temporary, snapshot)
        };
        let start = "CREATE_REPLICATION_SLOT \"a\"\"b\"";
        let expect = |tail: &str| format!("{start}{tail}");
        assert_eq!(command(140_000, false, Export), expect(" LOGICAL pgoutput EXPORT_SNAPSHOT"));
        assert_eq!(
            command(150_018, true, Nothing),
            expect(" TEMPORARY LOGICAL pgoutput (SNAPSHOT 'nothing')")
        );
        assert_eq!(
            command(180_000, false, Export),
            expect(" LOGICAL pgoutput (SNAPSHOT 'export', FAILOVER)")
        );
    }

    #[test]
    fn replication_options_are_quoted() {
        assert_eq!(
            start_replication_command("s", Lsn(0x10), &[("a", "1"), ("b", "it's \"x\"")]),
            "START_REPLICATION SLOT \"s\" LOGICAL 0/10 (\"a\" '1', \"b\" 'it''s \"x\"')"
        );
        assert_eq!(
            start_replication_command("s", Lsn::ZERO, &[]),
            "START_REPLICATION SLOT \"s\" LOGICAL 0/0"
        );
    }
}
