//! Renders record identities for the header `penstock.id`, cheaply for neighbours: records of one
//! transaction or one snapshot chunk differ only in their last two numbers.

use std::io::Write;

use cdc_model::{EventId, Lsn, RecordId, TableId};

/// Renders `<incarnation>:<record id>`, reusing what the previous identity had in common.
#[derive(Debug, Clone)]
pub(crate) struct IdentityText {
    incarnation: String,
    text: Vec<u8>,
    stem: Option<(Stem, usize)>,
}

/// What neighbours share, and the length of its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stem {
    Streamed(Lsn),
    Snapshot(Lsn, TableId, u32),
}

impl IdentityText {
    pub(crate) fn new(incarnation: &str) -> Self {
        Self { incarnation: incarnation.to_owned(), text: Vec::new(), stem: None }
    }

    /// Returns the text of `id`.
    pub(crate) fn render(&mut self, id: &RecordId) -> &[u8] {
        let (stem, last) = match id.event {
            EventId::Streamed { commit_lsn, seq } => (Stem::Streamed(commit_lsn), seq),
            EventId::Snapshot { snapshot, table, chunk, row } => {
                (Stem::Snapshot(snapshot, table, chunk), u64::from(row))
            }
        };
        match self.stem {
            Some((known, len)) if known == stem => self.text.truncate(len),
            _ => self.restart(stem),
        }
        self.text.extend_from_slice(itoa::Buffer::new().format(last).as_bytes());
        self.text.push(b':');
        self.text.extend_from_slice(itoa::Buffer::new().format(id.sub).as_bytes());
        &self.text
    }

    fn restart(&mut self, stem: Stem) {
        self.text.clear();
        let out = &mut self.text;
        let written = match stem {
            Stem::Streamed(lsn) => write!(out, "{}:{lsn}:", self.incarnation),
            Stem::Snapshot(lsn, table, chunk) => {
                write!(out, "{}:S{lsn}:{}:{chunk}:", self.incarnation, table.0)
            }
        };
        written.expect("invariant: memory takes any text");
        self.stem = Some((stem, self.text.len()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_that_of_the_identity() {
        let streamed = |lsn, seq| EventId::Streamed { commit_lsn: Lsn(lsn), seq };
        let snapshot = |chunk, row| EventId::Snapshot {
            snapshot: Lsn(0x16_0000_0000),
            table: TableId(16_384),
            chunk,
            row,
        };
        let mut text = IdentityText::new("7-db-slot");
        for (event, sub) in [
            (streamed(0x16_B374_D848, 0), 0),
            (streamed(0x16_B374_D848, 12), 2),
            (streamed(0x16_B374_D849, 1), 0),
            (snapshot(0, 7), 0),
            (snapshot(0, 8), 0),
            (snapshot(1, 0), 1),
            (streamed(0x16_B374_D849, u64::MAX), 255),
        ] {
            let id = RecordId { event, sub };
            let expected = format!("7-db-slot:{id}");
            assert_eq!(text.render(&id), expected.as_bytes());
        }
    }
}
