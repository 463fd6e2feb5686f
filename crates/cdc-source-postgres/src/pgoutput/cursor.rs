//! Checked reading of big-endian fields off the front of a message.

use std::sync::Arc;

use bytes::{Buf, Bytes};
use cdc_model::{Lsn, Timestamp};

use crate::pgoutput::error::DecodeError;

/// µs from 1970 to 2000, the epoch of the server's clocks.
const EPOCH_MICROS: i64 = 946_684_800_000_000;

/// What is left of a message. Each reader names the field it reads, for the error.
pub(super) struct Cursor(pub(super) Bytes);

impl Cursor {
    #[inline]
    pub(super) fn u8(&mut self, field: &'static str) -> Result<u8, DecodeError> {
        self.0.try_get_u8().map_err(|_| DecodeError::Truncated { field })
    }

    #[inline]
    pub(super) fn u16(&mut self, field: &'static str) -> Result<u16, DecodeError> {
        self.0.try_get_u16().map_err(|_| DecodeError::Truncated { field })
    }

    #[inline]
    pub(super) fn u32(&mut self, field: &'static str) -> Result<u32, DecodeError> {
        self.0.try_get_u32().map_err(|_| DecodeError::Truncated { field })
    }

    pub(super) fn i32(&mut self, field: &'static str) -> Result<i32, DecodeError> {
        self.0.try_get_i32().map_err(|_| DecodeError::Truncated { field })
    }

    pub(super) fn lsn(&mut self, field: &'static str) -> Result<Lsn, DecodeError> {
        self.0.try_get_u64().map(Lsn).map_err(|_| DecodeError::Truncated { field })
    }

    /// Reads µs since 2000 and returns µs since 1970.
    pub(super) fn timestamp(&mut self, field: &'static str) -> Result<Timestamp, DecodeError> {
        let micros = self.0.try_get_i64().map_err(|_| DecodeError::Truncated { field })?;
        Ok(Timestamp(micros.saturating_add(EPOCH_MICROS)))
    }

    /// Reads a zero-terminated text.
    pub(super) fn text(&mut self, field: &'static str) -> Result<Arc<str>, DecodeError> {
        let end = memchr::memchr(0, &self.0).ok_or(DecodeError::Truncated { field })?;
        let bytes = self.0.split_to(end);
        self.0.advance(1);
        let text = std::str::from_utf8(&bytes).map_err(|_| DecodeError::NotUtf8 { field })?;
        Ok(Arc::from(text))
    }

    /// Reads a zero-terminated schema name; an empty one stands for `pg_catalog`.
    pub(super) fn schema(&mut self, field: &'static str) -> Result<Arc<str>, DecodeError> {
        let text = self.text(field)?;
        Ok(if text.is_empty() { Arc::from("pg_catalog") } else { text })
    }

    /// Reads `length` bytes.
    pub(super) fn bytes(
        &mut self,
        length: usize,
        field: &'static str,
    ) -> Result<Bytes, DecodeError> {
        if length > self.0.len() {
            return Err(DecodeError::Truncated { field });
        }
        Ok(self.0.split_to(length))
    }

    /// Checks that nothing is left.
    pub(super) fn end(&self) -> Result<(), DecodeError> {
        if self.0.is_empty() { Ok(()) } else { Err(DecodeError::TrailingBytes) }
    }
}
