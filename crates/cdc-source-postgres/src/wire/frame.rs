//! Messages of the frontend/backend protocol: cutting them off the read buffer, and writing ours.
//!
//! Every message after start-up is a tag byte, a big-endian length that counts itself but not the
//! tag, and a body.
//!
//! Source: <https://www.postgresql.org/docs/current/protocol-message-formats.html>

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::wire::error::{Error, ServerError};
use crate::wire::stream::BoxRead;

/// Largest message accepted, in bytes. PostgreSQL allocates at most 1 GiB for one datum or message;
/// the rest is room for headers.
pub const FRAME_BYTES_MAX: u64 = (1 << 30) + (1 << 20);

/// Bytes of free buffer offered to each read from the socket.
const READ_BYTES: usize = 512 * 1024;

/// With less free buffer than this, a new one is taken before the next read.
const READ_BYTES_MIN: usize = 64 * 1024;

const HEADER_BYTES: usize = 5;

/// One message from the server.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) tag: u8,
    pub(super) body: Bytes,
}

/// Cuts messages off a byte stream; each body shares the buffer it was read into.
pub(super) struct FrameReader<R> {
    io: R,
    buffer: BytesMut,
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    pub(super) fn new(io: R) -> Self {
        Self { io, buffer: BytesMut::with_capacity(8 * 1024) }
    }

    /// Returns the next message if all of it has been read already.
    #[inline]
    pub(super) fn buffered(&mut self) -> Result<Option<Frame>, Error> {
        let Some(total) = announced(&self.buffer)? else { return Ok(None) };
        if self.buffer.len() < total {
            return Ok(None);
        }
        let mut body = self.buffer.split_to(total).freeze();
        let tag = body.get_u8();
        body.advance(HEADER_BYTES - 1);
        Ok(Some(Frame { tag, body }))
    }

    /// Reads the next message.
    ///
    /// # Cancel safety
    /// Safe: bytes read so far stay in the buffer.
    pub(super) async fn next(&mut self) -> Result<Frame, Error> {
        loop {
            if let Some(frame) = self.buffered()? {
                return Ok(frame);
            }
            self.fill().await?;
        }
    }

    async fn fill(&mut self) -> Result<(), Error> {
        let free = self.buffer.capacity() - self.buffer.len();
        let missing = announced(&self.buffer)?.map_or(0, |total| total - self.buffer.len());
        if free < READ_BYTES_MIN || free < missing {
            // Grows with what has arrived, so that an announced length alone takes no memory.
            let wanted = missing.min(self.buffer.len() * 2).max(READ_BYTES);
            self.buffer.reserve(wanted);
        }
        match self.io.read_buf(&mut self.buffer).await? {
            0 => Err(Error::Closed),
            _ => Ok(()),
        }
    }
}

impl FrameReader<BoxRead> {
    /// Hears nothing of what arrives, until the next read.
    pub(super) fn rest(&mut self) {
        self.io.rest();
    }
}

/// Returns the whole length of the message at the start of `buffer`, once its header is there.
#[inline]
fn announced(buffer: &[u8]) -> Result<Option<usize>, Error> {
    let Some(&[_, a, b, c, d]) = buffer.first_chunk::<HEADER_BYTES>() else { return Ok(None) };
    let length = u32::from_be_bytes([a, b, c, d]);
    if u64::from(length) > FRAME_BYTES_MAX {
        return Err(Error::FrameTooLarge { bytes: length.into() });
    }
    if length < 4 {
        return Err(Error::Protocol(format!("a message announces {length} bytes")));
    }
    Ok(Some(length as usize + 1))
}

/// Appends a message with `tag` whose body `write` appends.
pub(super) fn put_frame(buffer: &mut BytesMut, tag: u8, write: impl FnOnce(&mut BytesMut)) {
    buffer.put_u8(tag);
    put_length_prefixed(buffer, write);
}

/// Appends a length that counts itself, and the body that `write` appends.
pub(super) fn put_length_prefixed(buffer: &mut BytesMut, write: impl FnOnce(&mut BytesMut)) {
    let start = buffer.len();
    buffer.put_u32(0);
    write(buffer);
    let length = u32::try_from(buffer.len() - start).unwrap_or(u32::MAX);
    if let Some(header) = buffer.get_mut(start..start + 4) {
        header.copy_from_slice(&length.to_be_bytes());
    }
}

/// Appends `text` and a zero byte.
pub(super) fn put_cstr(buffer: &mut BytesMut, text: &str) {
    buffer.put_slice(text.as_bytes());
    buffer.put_u8(0);
}

/// Takes a zero-terminated text off `body`.
pub(super) fn take_cstr(body: &mut Bytes) -> Result<String, Error> {
    let end =
        memchr::memchr(0, body).ok_or_else(|| Error::Protocol("a text has no end".to_owned()))?;
    let text = body.split_to(end);
    body.advance(1);
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// Reads the fields of `ErrorResponse` and `NoticeResponse`.
///
/// Source: <https://www.postgresql.org/docs/current/protocol-error-fields.html>
pub(super) fn server_error(mut body: Bytes) -> Result<ServerError, Error> {
    let mut error = ServerError {
        severity: "ERROR".to_owned(),
        code: "XX000".to_owned(),
        message: String::new(),
        hint: None,
    };
    while body.has_remaining() {
        match body.get_u8() {
            0 => break,
            b'V' => error.severity = take_cstr(&mut body)?,
            b'C' => error.code = take_cstr(&mut body)?,
            b'M' => error.message = take_cstr(&mut body)?,
            b'H' => error.hint = Some(take_cstr(&mut body)?),
            _ => {
                take_cstr(&mut body)?;
            }
        }
    }
    Ok(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn messages_cut_at_any_byte_arrive_whole() {
        let mut sent = BytesMut::new();
        put_frame(&mut sent, b'a', |body| body.put_slice(b"hello"));
        put_frame(&mut sent, b'b', |_| {});
        put_frame(&mut sent, b'c', |body| body.put_slice(&[7; 300]));
        for cut in 0..=sent.len() {
            let (head, tail) = sent.split_at(cut);
            let mut reader = FrameReader::new(tokio::io::join(
                AsyncReadExt::chain(head, tail),
                tokio::io::sink(),
            ));
            let mut seen = Vec::new();
            while let Ok(frame) = reader.next().await {
                seen.push((frame.tag, frame.body.len()));
            }
            assert_eq!(seen, [(b'a', 5), (b'b', 0), (b'c', 300)], "cut at {cut}");
        }
    }

    #[tokio::test]
    async fn an_impossible_length_is_refused_before_memory_is_taken() {
        let mut reader = FrameReader::new(&[b'd', 0xFF, 0xFF, 0xFF, 0xFF][..]);
        assert!(matches!(reader.next().await, Err(Error::FrameTooLarge { bytes: 0xFFFF_FFFF })));
        let mut reader = FrameReader::new(&[b'd', 0, 0, 0, 3][..]);
        assert!(matches!(reader.next().await, Err(Error::Protocol(_))));
    }

    #[tokio::test]
    async fn an_announced_length_alone_takes_no_memory() {
        let mut reader = FrameReader::new(&[b'd', 0x3F, 0, 0, 0, 1, 2, 3][..]);
        assert!(matches!(reader.next().await, Err(Error::Closed)));
        assert!(reader.buffer.capacity() <= 2 * READ_BYTES);
    }
}
