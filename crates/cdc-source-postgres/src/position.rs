//! How far the log has been read, and how much of that may be acknowledged: 24 bytes.
//!
//! | bytes | meaning |
//! |---|---|
//! | 0..8 | LSN: inside a transaction the LSN of its commit record, else the end of what was read |
//! | 8..16 | how many changes of that transaction were consumed; 0 between transactions |
//! | 16..24 | end of the last complete transaction: what may be acknowledged |
//!
//! All big-endian, so that byte order is position order. A transaction is sent again after a
//! restart if its end was not acknowledged; then one whose commit LSN lies before `lsn` is skipped
//! whole, and of the one whose commit LSN equals `lsn` the first `seq` changes.

use bytes::Bytes;
use cdc_model::{Lsn, Position};

use crate::error::{Error, Halt};

/// A decoded [`Position`] of this source.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct StreamPosition {
    /// The commit LSN of the transaction it stands in, or the end of what was read.
    pub lsn: Lsn,
    /// Changes of that transaction consumed.
    pub seq: u64,
    /// What may be acknowledged: the end of the last complete transaction.
    pub ack: Lsn,
}

impl StreamPosition {
    /// Makes the position between transactions, with everything up to `lsn` read.
    pub fn between(lsn: Lsn) -> Self {
        Self { lsn, seq: 0, ack: lsn }
    }

    /// Makes a position inside the transaction committed at `commit_lsn`, `seq` changes in.
    pub fn inside(commit_lsn: Lsn, seq: u64, ack: Lsn) -> Self {
        Self { lsn: commit_lsn, seq, ack }
    }

    /// Returns the 24 bytes.
    pub fn encode(self) -> Position {
        let words = [self.lsn.0, self.seq, self.ack.0];
        Position(Bytes::from(words.iter().flat_map(|word| word.to_be_bytes()).collect::<Vec<u8>>()))
    }

    /// Reads them back.
    ///
    /// # Errors
    /// Fatal when `position` was not made by this source.
    pub fn decode(position: &Position) -> Result<Self, Error> {
        let bytes: [u8; 24] = position
            .as_bytes()
            .try_into()
            .map_err(|_| Halt::CheckpointCorrupt { what: "position".into() })?;
        let word = |index: usize| {
            let mut word = [0; 8];
            word.copy_from_slice(&bytes[index * 8..index * 8 + 8]);
            u64::from_be_bytes(word)
        };
        Ok(Self { lsn: Lsn(word(0)), seq: word(1), ack: Lsn(word(2)) })
    }

    /// Returns how many of the first changes of the transaction committed at `commit_lsn` were
    /// consumed: all (`None`), or a number.
    pub fn consumed_of(self, commit_lsn: Lsn) -> Option<u64> {
        match commit_lsn.cmp(&self.lsn) {
            std::cmp::Ordering::Less => None,
            std::cmp::Ordering::Equal => Some(self.seq),
            std::cmp::Ordering::Greater => Some(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn decode_of_encode_is_identity(lsn: u64, seq: u64, ack: u64) {
            let position = StreamPosition { lsn: Lsn(lsn), seq, ack: Lsn(ack) };
            prop_assert_eq!(StreamPosition::decode(&position.encode()).unwrap(), position);
        }

        #[test]
        fn byte_order_is_position_order(a: (u64, u64), b: (u64, u64)) {
            let at = |(lsn, seq)| StreamPosition::inside(Lsn(lsn), seq, Lsn(0));
            prop_assert_eq!(
                at(a).encode().as_bytes().cmp(at(b).encode().as_bytes()),
                at(a).cmp(&at(b))
            );
        }
    }

    #[test]
    fn a_transaction_sent_again_is_skipped_as_far_as_it_was_consumed() {
        let inside = StreamPosition::inside(Lsn(100), 7, Lsn(50));
        assert_eq!(inside.consumed_of(Lsn(99)), None);
        assert_eq!(inside.consumed_of(Lsn(100)), Some(7));
        assert_eq!(inside.consumed_of(Lsn(101)), Some(0));
        assert_eq!(StreamPosition::between(Lsn(100)).consumed_of(Lsn(100)), Some(0));
    }

    #[test]
    fn bytes_of_another_source_are_refused() {
        let other = Position(Bytes::from_static(b"mysql-bin.000001:4"));
        assert!(StreamPosition::decode(&other).is_err());
    }
}
