//! How entries of the checkpoint are written: a version byte, then fields; integers big-endian,
//! texts and lists after their length.

use cdc_model::{Lsn, TableName};

use crate::error::{Error, Halt};

const VERSION: u8 = 1;

/// Writes one entry.
pub(crate) struct Encoder(Vec<u8>);

impl Encoder {
    pub(crate) fn new() -> Self {
        Self(vec![VERSION])
    }

    pub(crate) fn u8(&mut self, value: u8) -> &mut Self {
        self.0.push(value);
        self
    }

    pub(crate) fn u32(&mut self, value: u32) -> &mut Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    pub(crate) fn u64(&mut self, value: u64) -> &mut Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    pub(crate) fn lsn(&mut self, value: Lsn) -> &mut Self {
        self.u64(value.0)
    }

    pub(crate) fn text(&mut self, value: &str) -> &mut Self {
        self.len(value.len());
        self.0.extend(value.as_bytes());
        self
    }

    pub(crate) fn name(&mut self, value: &TableName) -> &mut Self {
        self.text(&value.schema).text(&value.table)
    }

    pub(crate) fn list<T>(
        &mut self,
        items: &[T],
        mut each: impl FnMut(&mut Self, &T),
    ) -> &mut Self {
        self.len(items.len());
        for item in items {
            each(self, item);
        }
        self
    }

    pub(crate) fn finish(&mut self) -> bytes::Bytes {
        std::mem::take(&mut self.0).into()
    }

    fn len(&mut self, len: usize) {
        self.u32(u32::try_from(len).expect("invariant: entries are far below 4 GiB"));
    }
}

/// Reads one entry.
pub(crate) struct Decoder<'a> {
    key: &'a str,
    rest: &'a [u8],
}

impl<'a> Decoder<'a> {
    pub(crate) fn new(key: &'a str, bytes: &'a [u8]) -> Result<Self, Error> {
        let mut decoder = Self { key, rest: bytes };
        if decoder.u8()? != VERSION {
            return Err(decoder.corrupt());
        }
        Ok(decoder)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Error> {
        Ok(self.take::<1>()?[0])
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Error> {
        Ok(u32::from_be_bytes(self.take()?))
    }

    pub(crate) fn u64(&mut self) -> Result<u64, Error> {
        Ok(u64::from_be_bytes(self.take()?))
    }

    pub(crate) fn lsn(&mut self) -> Result<Lsn, Error> {
        self.u64().map(Lsn)
    }

    pub(crate) fn text(&mut self) -> Result<String, Error> {
        let len = self.len()?;
        let (text, rest) = self.rest.split_at_checked(len).ok_or_else(|| self.corrupt())?;
        self.rest = rest;
        String::from_utf8(text.to_vec()).map_err(|_| self.corrupt())
    }

    pub(crate) fn name(&mut self) -> Result<TableName, Error> {
        Ok(TableName::new(self.text()?, self.text()?))
    }

    pub(crate) fn list<T>(
        &mut self,
        mut each: impl FnMut(&mut Self) -> Result<T, Error>,
    ) -> Result<Vec<T>, Error> {
        let len = self.len()?;
        let mut items = Vec::new();
        for _ in 0..len {
            items.push(each(self)?);
        }
        Ok(items)
    }

    pub(crate) fn corrupt(&self) -> Error {
        Halt::CheckpointCorrupt { what: format!("entry {}", self.key) }.into()
    }

    fn len(&mut self) -> Result<usize, Error> {
        let len = self.u32()?;
        usize::try_from(len).map_err(|_| self.corrupt())
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let (head, rest) = self.rest.split_first_chunk().ok_or_else(|| self.corrupt())?;
        self.rest = rest;
        Ok(*head)
    }
}
