//! A view: an MVCC snapshot that chunks were read under, and which transactions it sees.

use cdc_model::Lsn;

use crate::entry::{Decoder, Encoder};
use crate::error::{Error, Halt};

/// A snapshot, as the checkpoint remembers it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct View {
    /// End of the log when it had been taken: no transaction that commits later is visible in it.
    /// For the slot's exported snapshot, where the slot begins.
    pub(crate) lsn: Lsn,
    /// Which transactions it sees; `None` for the exported one, which sees none that the slot
    /// streams.
    pub(crate) visibility: Option<Visibility>,
}

/// `pg_snapshot`: top-level transaction ids with their epoch.
///
/// Source: <https://www.postgresql.org/docs/current/functions-info.html#FUNCTIONS-PG-SNAPSHOT>
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Visibility {
    /// All before it have ended.
    pub(crate) xmin: u64,
    /// None from it on was known.
    pub(crate) xmax: u64,
    /// Those between that were in progress, ascending.
    pub(crate) in_progress: Vec<u64>,
}

impl Visibility {
    /// Reads `xmin:xmax:xip,…`.
    pub(crate) fn parse(text: &str) -> Result<Self, Error> {
        let corrupt = || Halt::CheckpointCorrupt { what: format!("snapshot \"{text}\"") };
        let mut parts = text.split(':');
        let mut number = || parts.next().and_then(|part| part.parse().ok()).ok_or_else(corrupt);
        let (xmin, xmax) = (number()?, number()?);
        let list = text.rsplit(':').next().unwrap_or_default();
        let mut in_progress = Vec::new();
        for xid in list.split(',').filter(|xid| !xid.is_empty()) {
            in_progress.push(xid.parse().map_err(|_| corrupt())?);
        }
        in_progress.sort_unstable();
        Ok(Self { xmin, xmax, in_progress })
    }

    /// Returns whether a committed transaction is visible; `xid` is the 32 bits the log carries,
    /// whose epoch is that which brings it nearest to the snapshot.
    pub(crate) fn sees(&self, xid: u32) -> bool {
        let xid = self.widen(xid);
        xid < self.xmin || (xid < self.xmax && self.in_progress.binary_search(&xid).is_err())
    }

    /// No two transactions that matter are 2³¹ or more apart.
    fn widen(&self, xid: u32) -> u64 {
        const LOW: u64 = 0xFFFF_FFFF;
        let near = |epoch: u64| (epoch << 32) | u64::from(xid);
        let epoch = self.xmax >> 32;
        let ahead = u64::from(xid).wrapping_sub(self.xmax & LOW) & LOW;
        if ahead < 1 << 31 {
            near(if u64::from(xid) < self.xmax & LOW { epoch + 1 } else { epoch })
        } else {
            near(if u64::from(xid) > self.xmax & LOW { epoch.saturating_sub(1) } else { epoch })
        }
    }
}

impl View {
    pub(crate) fn encode(&self, encoder: &mut Encoder) {
        encoder.lsn(self.lsn);
        match &self.visibility {
            None => {
                encoder.u8(0);
            }
            Some(seen) => {
                encoder.u8(1).u64(seen.xmin).u64(seen.xmax).list(&seen.in_progress, |e, xid| {
                    e.u64(*xid);
                });
            }
        }
    }

    pub(crate) fn decode(decoder: &mut Decoder<'_>) -> Result<Self, Error> {
        let lsn = decoder.lsn()?;
        let visibility = match decoder.u8()? {
            0 => None,
            _ => Some(Visibility {
                xmin: decoder.u64()?,
                xmax: decoder.u64()?,
                in_progress: decoder.list(Decoder::u64)?,
            }),
        };
        Ok(Self { lsn, visibility })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_sees_what_ended_before_it() {
        let snapshot = Visibility::parse("10:20:12,15").unwrap();
        let seen: Vec<u32> = (8..22).filter(|xid| snapshot.sees(*xid)).collect();
        assert_eq!(seen, [8, 9, 10, 11, 13, 14, 16, 17, 18, 19]);
        assert_eq!(Visibility::parse("10:10:").unwrap().in_progress, Vec::<u64>::new());
        assert!(Visibility::parse("10").is_err());
    }

    #[test]
    fn transaction_ids_are_compared_with_their_epoch() {
        // xmax has just entered epoch 3.
        let text = format!("{}:{}:", (3_u64 << 32) - 5, (3_u64 << 32) + 5);
        let snapshot = Visibility::parse(&text).unwrap();
        assert!(snapshot.sees(u32::MAX - 1), "the end of epoch 2");
        assert!(snapshot.sees(4));
        assert!(!snapshot.sees(5));
        assert!(!snapshot.sees(1_000_000));
        // xmax at the end of epoch 2: small ids belong to epoch 3.
        let snapshot = Visibility::parse(&format!("{0}:{0}:", (3_u64 << 32) - 5)).unwrap();
        assert!(!snapshot.sees(7));
        assert!(snapshot.sees(u32::MAX - 10));
    }
}
