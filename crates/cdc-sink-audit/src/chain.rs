//! One line of the log: a JSON object that names the hash of the line before it and its own. Pure.
//!
//! ```text
//! {"prev":"<64 hex digits>","seq":7,"kind":"change",…,"hash":"<64 hex digits>"}
//! ```
//!
//! `hash` is the SHA-256 of the line without its last member; `prev` is part of what is hashed. A
//! changed byte is therefore seen in its own line, and a line taken out, put in or moved is seen in
//! the one after it.

use std::fmt;

use serde_json::{Map, Value as Json, json};
use sha2::{Digest as _, Sha256};

const OPEN: &[u8] = b"{\"prev\":\"";
const TAIL: &[u8] = b",\"hash\":\"";
const CLOSE: &[u8] = b"\"}";
const DIGITS: usize = 64;

/// A SHA-256 hash; displayed in hexadecimal.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Hash([u8; 32]);

impl Hash {
    fn of(parts: [&[u8]; 2]) -> Self {
        let mut hasher = Sha256::new();
        parts.iter().for_each(|part| hasher.update(part));
        Self(hasher.finalize().into())
    }

    /// Reads 64 lower-case hexadecimal digits.
    pub fn parse(digits: &str) -> Option<Self> {
        let mut hash = [0; 32];
        let bytes = digits.as_bytes();
        if bytes.len() != DIGITS {
            return None;
        }
        for (byte, pair) in hash.iter_mut().zip(bytes.chunks_exact(2)) {
            for digit in pair {
                let value = match digit {
                    b'0'..=b'9' => digit - b'0',
                    b'a'..=b'f' => digit - b'a' + 10,
                    _ => return None,
                };
                *byte = *byte << 4 | value;
            }
        }
        Some(Self(hash))
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Where a chain stands: the next line's number, and the hash of the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Chain {
    pub(crate) seq: u64,
    pub(crate) prev: Hash,
}

impl Chain {
    /// Appends a line of `kind` with `members` to `out`.
    pub(crate) fn push(&mut self, out: &mut Vec<u8>, kind: &str, members: Map<String, Json>) {
        let mut line = Map::new();
        line.insert("prev".to_owned(), json!(self.prev.to_string()));
        line.insert("seq".to_owned(), json!(self.seq));
        line.insert("kind".to_owned(), json!(kind));
        line.extend(members);
        let body = Json::Object(line).to_string().into_bytes();
        let open = body.strip_suffix(b"}").unwrap_or(&body);
        let hash = Hash::of([open, b"}"]);
        out.extend_from_slice(open);
        out.extend_from_slice(TAIL);
        out.extend_from_slice(hash.to_string().as_bytes());
        out.extend_from_slice(CLOSE);
        out.push(b'\n');
        *self = Self { seq: self.seq + 1, prev: hash };
    }
}

/// A line whose hash is right.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) prev: Hash,
    pub(crate) hash: Hash,
    pub(crate) seq: u64,
    pub(crate) members: Map<String, Json>,
}

impl Line {
    /// Reads a line without its line break; `None` if it is not as it was written.
    pub(crate) fn read(line: &[u8]) -> Option<Self> {
        let cut = line.len().checked_sub(TAIL.len() + DIGITS + CLOSE.len())?;
        let (open, tail) = line.split_at_checked(cut)?;
        let digits = tail.strip_prefix(TAIL)?.strip_suffix(CLOSE)?;
        let hash = Hash::parse(std::str::from_utf8(digits).ok()?)?;
        if Hash::of([open, b"}"]) != hash {
            return None;
        }
        let prev = open.strip_prefix(OPEN)?.get(..DIGITS)?;
        let prev = Hash::parse(std::str::from_utf8(prev).ok()?)?;
        let Json::Object(members) = serde_json::from_slice(line).ok()? else { return None };
        let seq = members.get("seq")?.as_u64()?;
        Some(Self { prev, hash, seq, members })
    }

    /// Returns whether it is the one that comes next in `chain`.
    pub(crate) fn follows(&self, chain: &Chain) -> bool {
        self.prev == chain.prev && self.seq == chain.seq
    }

    /// Returns the chain after it.
    pub(crate) fn chain(&self) -> Chain {
        Chain { seq: self.seq + 1, prev: self.hash }
    }

    pub(crate) fn kind(&self) -> &str {
        self.text("kind").unwrap_or_default()
    }

    pub(crate) fn text(&self, member: &str) -> Option<&str> {
        self.members.get(member)?.as_str()
    }

    pub(crate) fn number(&self, member: &str) -> Option<i64> {
        self.members.get(member)?.as_i64()
    }

    /// Returns whether a log may end with it: everything before it is durable.
    pub(crate) fn is_commit(&self) -> bool {
        matches!(self.kind(), "segment" | "open" | "commit" | "seal")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_with_any_other_byte_is_not_read() {
        let mut out = Vec::new();
        let mut chain = Chain::default();
        let members = json!({"text": "žluť\n\"", "n": 1});
        chain.push(&mut out, "change", members.as_object().cloned().unwrap());
        let line = out.strip_suffix(b"\n").unwrap();
        let read = Line::read(line).unwrap();
        assert!(read.follows(&Chain::default()));
        assert_eq!((read.chain(), read.kind()), (chain, "change"));
        for at in 0..line.len() {
            for bit in 0..8 {
                let mut changed = line.to_vec();
                changed[at] ^= 1 << bit;
                assert!(Line::read(&changed).is_none(), "byte {at}, bit {bit}");
            }
            assert!(Line::read(&line[..at]).is_none());
        }
    }
}
