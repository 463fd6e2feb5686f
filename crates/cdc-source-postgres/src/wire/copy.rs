//! The two halves of a `CopyBoth` stream: the server's log messages, and our status updates.
//!
//! Each `CopyData` message holds one message of the streaming replication protocol:
//!
//! | bytes | `w` XLogData | `k` keepalive | `r` status update (ours) |
//! |---|---|---|---|
//! | 1..9 | start of the data | end of WAL on the server | written up to |
//! | 9..17 | end of WAL on the server | server's clock | flushed up to |
//! | 17..25 | server's clock | (17) 1 = reply now | applied up to |
//! | 25.. | data | | our clock, (33) 1 = reply now |
//!
//! Numbers are 64 bits, big-endian; clocks count µs since 2000-01-01T00:00:00Z.
//!
//! Source: <https://www.postgresql.org/docs/current/protocol-replication.html>

use std::fmt;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use cdc_model::{Lsn, Timestamp};
use cdc_pipeline::clock::Clock;
use tokio::io::AsyncWriteExt;

use crate::wire::error::Error;
use crate::wire::frame::{Frame, FrameReader, put_frame, server_error};
use crate::wire::stream::{BoxRead, BoxWrite};

/// µs from 1970 to 2000, the epoch of the server's clocks.
const EPOCH_MICROS: i64 = 946_684_800_000_000;

/// One message from the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CopyMessage {
    /// A piece of the log: one message of the output plugin.
    XLogData {
        /// Where the data starts in the log; zero for some messages that stand at no place.
        start: Lsn,
        /// End of the log on the server when it was sent.
        end: Lsn,
        /// The server's clock when it was sent.
        sent_at: Timestamp,
        /// The plugin's message; shares the read buffer, so it keeps up to 512 KiB alive.
        data: Bytes,
    },
    /// The server is alive.
    Keepalive {
        /// How far the server has read its log: everything committed before was sent.
        wal_end: Lsn,
        /// The server's clock.
        sent_at: Timestamp,
        /// The server wants a status update now, or will close the connection.
        is_reply_requested: bool,
    },
    /// The server reports something beside the stream. A `WARNING` can mean that changes are being
    /// left out (a publication that is gone).
    Notice {
        /// `WARNING`, `NOTICE`, `LOG` and so on, never translated.
        severity: String,
        /// The SQLSTATE.
        code: String,
        /// The message.
        message: String,
    },
}

/// Reads the server's half of the stream.
pub struct CopyReader {
    frames: FrameReader<BoxRead>,
}

impl CopyReader {
    pub(super) fn new(frames: FrameReader<BoxRead>) -> Self {
        Self { frames }
    }

    /// Waits for the next message.
    ///
    /// # Errors
    /// Transient when the connection is lost or the server ends the stream; the server's error,
    /// with its SQLSTATE, if it sends one.
    ///
    /// # Cancel safety
    /// Safe: no byte is lost when the future is dropped.
    pub async fn read(&mut self) -> Result<CopyMessage, Error> {
        loop {
            let frame = self.frames.next().await?;
            if let Some(message) = message(frame)? {
                return Ok(message);
            }
        }
    }

    /// Returns the next message if all of it has been received already; never waits, makes no
    /// system call.
    ///
    /// # Errors
    /// As [`CopyReader::read`].
    #[inline]
    pub fn try_read_buffered(&mut self) -> Result<Option<CopyMessage>, Error> {
        while let Some(frame) = self.frames.buffered()? {
            if let Some(message) = message(frame)? {
                return Ok(Some(message));
            }
        }
        Ok(None)
    }

    /// Lets what arrives collect unheard until the next read: while the server sends a backlog,
    /// being woken for every row costs both sides more than the row. Only plain TCP can.
    pub fn rest(&mut self) {
        self.frames.rest();
    }
}

impl fmt::Debug for CopyReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CopyReader")
    }
}

/// Reads a frame; none if it says nothing about the stream.
#[inline]
fn message(frame: Frame) -> Result<Option<CopyMessage>, Error> {
    match frame.tag {
        b'd' => copy_data(frame.body).map(Some),
        b'N' => {
            let notice = server_error(frame.body)?;
            Ok(Some(CopyMessage::Notice {
                severity: notice.severity,
                code: notice.code,
                message: notice.message,
            }))
        }
        b'E' => Err(Box::new(server_error(frame.body)?).into()),
        // A setting changed by a reload.
        b'S' => Ok(None),
        // CopyDone, CommandComplete, ReadyForQuery: the stream is over.
        b'c' | b'C' | b'Z' => Err(Error::Closed),
        other => Err(Error::Protocol(format!("message {:?} in a stream", char::from(other)))),
    }
}

#[inline]
fn copy_data(mut body: Bytes) -> Result<CopyMessage, Error> {
    const XLOG_DATA: usize = 25;
    const KEEPALIVE: usize = 18;
    match body.first() {
        Some(b'w') if body.len() >= XLOG_DATA => {
            body.advance(1);
            let start = Lsn(body.get_u64());
            let end = Lsn(body.get_u64());
            let sent_at = server_time(body.get_i64());
            Ok(CopyMessage::XLogData { start, end, sent_at, data: body })
        }
        Some(b'k') if body.len() >= KEEPALIVE => {
            body.advance(1);
            let wal_end = Lsn(body.get_u64());
            let sent_at = server_time(body.get_i64());
            let is_reply_requested = body.get_u8() != 0;
            Ok(CopyMessage::Keepalive { wal_end, sent_at, is_reply_requested })
        }
        _ => Err(Error::Protocol("a message of streaming replication is malformed".to_owned())),
    }
}

/// Turns the server's clock into µs since 1970.
fn server_time(micros: i64) -> Timestamp {
    Timestamp(micros.saturating_add(EPOCH_MICROS))
}

/// Writes our half of the stream.
pub struct CopyWriter {
    io: BoxWrite,
    /// What a cancelled call left unsent. Always whole messages from where the stream stands.
    pending: BytesMut,
    clock: Clock,
}

impl CopyWriter {
    pub(super) fn new(io: BoxWrite) -> Self {
        Self { io, pending: BytesMut::new(), clock: Clock::system() }
    }

    /// Tells the server how far the log has been written, flushed and applied downstream.
    ///
    /// The server may discard everything before `flush`; this cannot be undone.
    ///
    /// # Errors
    /// Transient: the connection is lost.
    ///
    /// # Cancel safety
    /// Safe: what was not sent goes out with the next call.
    pub async fn send_status(
        &mut self,
        write: Lsn,
        flush: Lsn,
        apply: Lsn,
        request_reply: bool,
    ) -> Result<(), Error> {
        let now = self.clock.now().0.saturating_sub(EPOCH_MICROS);
        put_frame(&mut self.pending, b'd', |body| {
            body.put_u8(b'r');
            body.put_u64(write.0);
            body.put_u64(flush.0);
            body.put_u64(apply.0);
            body.put_i64(now);
            body.put_u8(u8::from(request_reply));
        });
        self.send_pending().await
    }

    /// Ends the stream (`CopyDone`); the server answers by ending its half.
    ///
    /// # Errors
    /// Transient: the connection is lost.
    pub async fn finish(mut self) -> Result<(), Error> {
        put_frame(&mut self.pending, b'c', |_| {});
        self.send_pending().await
    }

    async fn send_pending(&mut self) -> Result<(), Error> {
        while self.pending.has_remaining() {
            // Takes what was written off the front, so that being dropped here loses nothing.
            if self.io.write_buf(&mut self.pending).await? == 0 {
                return Err(Error::Closed);
            }
        }
        self.io.flush().await?;
        Ok(())
    }
}

impl fmt::Debug for CopyWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CopyWriter")
    }
}
