//! The stored form of records: blocks of consecutive records of one partition. Pure.
//!
//! Many records share one key of the store, one checksum and one timestamp, which is what makes
//! appends and scans cost a fraction of a microsecond a record.
//!
//! | bytes | type | field |
//! |---|---|---|
//! | 0 | u8 | format version, 1 |
//! | 1..5 | u32le | CRC-32 of every byte after it |
//! | 5..9 | u32le | count of records, at least 1 |
//! | 9..17 | i64le | when they were appended, ms since 1970 |
//! | 17.. | | the records |
//!
//! A record is its key and value (each: length + 1 and bytes, or 0 for none), the count of its
//! headers, and of each header its name (a number of [`NAMES`] plus 1, or 0, length and bytes) and
//! its value (length and bytes). Numbers are LEB128. The first record's offset is in the key under
//! which the block is stored.

use std::borrow::Cow;

use bytes::Bytes;
use cdc_model::{Header, HeaderName, Headers, Record};

use crate::coding::{self, Input};

const VERSION: u8 = 1;
const HEADER_BYTES: usize = 17;

/// Header names stored as a number. Only ever appended to: the numbers are on disk.
const NAMES: [&str; 3] = [Record::ID_HEADER, "penstock.unchanged", "penstock.exact"];

/// Builds one block.
#[derive(Debug)]
pub(crate) struct BlockBuilder {
    bytes: Vec<u8>,
    count: u32,
    timestamp_ms: i64,
}

impl BlockBuilder {
    /// Makes an empty block, appended at `timestamp_ms`, with room for about `capacity` bytes.
    pub(crate) fn new(timestamp_ms: i64, capacity: usize) -> Self {
        let mut bytes = Vec::with_capacity(HEADER_BYTES + capacity);
        bytes.resize(HEADER_BYTES, 0);
        Self { bytes, count: 0, timestamp_ms }
    }

    /// Appends `record`, with `id` as the value of the header [`Record::ID_HEADER`].
    pub(crate) fn push(&mut self, record: &Record, id: Option<&[u8]>) {
        self.count += 1;
        let out = &mut self.bytes;
        coding::put_optional(out, record.key.as_deref());
        coding::put_optional(out, record.value.as_deref());
        coding::put_uint(out, (record.headers.len() + usize::from(id.is_some())) as u64);
        for header in &record.headers {
            put_name(out, &header.name);
            coding::put_bytes(out, &header.value);
        }
        if let Some(id) = id {
            put_name(out, Record::ID_HEADER);
            coding::put_bytes(out, id);
        }
    }

    /// Returns its size so far, in bytes.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Returns the finished block.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.bytes[0] = VERSION;
        self.bytes[5..9].copy_from_slice(&self.count.to_le_bytes());
        self.bytes[9..17].copy_from_slice(&self.timestamp_ms.to_le_bytes());
        let crc = crc32fast::hash(&self.bytes[5..]);
        self.bytes[1..5].copy_from_slice(&crc.to_le_bytes());
        self.bytes
    }
}

fn put_name(out: &mut Vec<u8>, name: &str) {
    match (1_u64..).zip(NAMES).find(|(_, known)| *known == name) {
        Some((number, _)) => coding::put_uint(out, number),
        None => {
            out.push(0);
            coding::put_bytes(out, name.as_bytes());
        }
    }
}

/// One record of a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BlockRecord {
    pub(crate) key: Option<Bytes>,
    pub(crate) value: Option<Bytes>,
    pub(crate) headers: Headers,
}

/// Reads a block, record by record. Its records share the block's bytes.
#[derive(Debug, Clone)]
pub(crate) struct Block {
    input: Input,
    remaining: u32,
    timestamp_ms: i64,
}

impl Block {
    /// Opens a block, or returns `None` if it is damaged: not one bit of it is trusted before its
    /// checksum.
    pub(crate) fn open(bytes: Bytes) -> Option<Self> {
        let header: &[u8; HEADER_BYTES] = bytes.first_chunk()?;
        let [version, c0, c1, c2, c3, n0, n1, n2, n3, timestamp @ ..] = *header;
        if version != VERSION
            || crc32fast::hash(&bytes[5..]) != u32::from_le_bytes([c0, c1, c2, c3])
        {
            return None;
        }
        let remaining = u32::from_le_bytes([n0, n1, n2, n3]);
        let mut input = Input::new(bytes);
        input.skip(HEADER_BYTES)?;
        let timestamp_ms = i64::from_le_bytes(timestamp);
        (remaining > 0).then_some(Self { input, remaining, timestamp_ms })
    }

    /// Returns how many records are still to be read.
    pub(crate) fn remaining(&self) -> u32 {
        self.remaining
    }

    /// Returns when its records were appended.
    pub(crate) fn timestamp_ms(&self) -> i64 {
        self.timestamp_ms
    }

    /// Returns the next record; `None` if the block is damaged, or read to its end.
    pub(crate) fn next(&mut self) -> Option<BlockRecord> {
        self.remaining = self.remaining.checked_sub(1)?;
        let (key, value) = (self.input.optional()?, self.input.optional()?);
        let mut headers = Headers::new();
        for _ in 0..self.input.uint()? {
            headers.push(Header { name: self.name()?, value: self.input.bytes()? });
        }
        let is_whole = self.remaining > 0 || self.input.is_empty();
        is_whole.then_some(BlockRecord { key, value, headers })
    }

    /// Passes over one record.
    pub(crate) fn skip(&mut self) -> Option<()> {
        self.remaining = self.remaining.checked_sub(1)?;
        for _ in 0..2 {
            if let Some(len) = self.input.index()?.checked_sub(1) {
                self.input.skip(len)?;
            }
        }
        for _ in 0..self.input.uint()? {
            if self.input.uint()? == 0 {
                let len = self.input.index()?;
                self.input.skip(len)?;
            }
            let len = self.input.index()?;
            self.input.skip(len)?;
        }
        Some(())
    }

    fn name(&mut self) -> Option<HeaderName> {
        match self.input.index()?.checked_sub(1) {
            None => self.input.text().map(Cow::Owned),
            Some(number) => NAMES.get(number).copied().map(Cow::Borrowed),
        }
    }
}

#[cfg(test)]
mod tests;
