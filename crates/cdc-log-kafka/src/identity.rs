//! Writes the header that carries a record's identity, fast: one for each record.

use std::io::Write;

use cdc_model::{EventId, Lsn, RecordId};

/// Writes `<incarnation>:<record id>`, keeping the part that a transaction's records share.
#[derive(Debug)]
pub(crate) struct IdentityText {
    text: Vec<u8>,
    incarnation_len: usize,
    /// The transaction whose prefix `text` begins with, and the prefix's length.
    transaction: Option<(Lsn, usize)>,
}

impl IdentityText {
    /// Makes a writer for records of `incarnation`.
    pub(crate) fn new(incarnation: &str) -> Self {
        let text = format!("{incarnation}:").into_bytes();
        Self { incarnation_len: text.len(), text, transaction: None }
    }

    /// Returns the text of `id`.
    pub(crate) fn of(&mut self, id: &RecordId) -> &[u8] {
        match id.event {
            EventId::Streamed { commit_lsn, seq } => {
                self.begin(commit_lsn);
                self.text.extend_from_slice(itoa::Buffer::new().format(seq).as_bytes());
                self.text.push(b':');
                self.text.extend_from_slice(itoa::Buffer::new().format(id.sub).as_bytes());
            }
            EventId::Snapshot { .. } => {
                self.text.truncate(self.incarnation_len);
                self.transaction = None;
                self.push(format_args!("{id}"));
            }
        }
        &self.text
    }

    fn begin(&mut self, commit_lsn: Lsn) {
        if let Some((_, len)) = self.transaction.filter(|(lsn, _)| *lsn == commit_lsn) {
            self.text.truncate(len);
            return;
        }
        self.text.truncate(self.incarnation_len);
        self.push(format_args!("{commit_lsn}:"));
        self.transaction = Some((commit_lsn, self.text.len()));
    }

    fn push(&mut self, text: std::fmt::Arguments<'_>) {
        self.text.write_fmt(text).expect("invariant: writing to memory does not fail");
    }
}

#[cfg(test)]
mod tests {
    use cdc_model::TableId;
    use proptest::prelude::*;

    use super::*;

    fn any_id() -> impl Strategy<Value = RecordId> {
        let event = prop_oneof![
            (0_u64..3, any::<u64>())
                .prop_map(|(lsn, seq)| EventId::Streamed { commit_lsn: Lsn(lsn << 40), seq }),
            (any::<u64>(), any::<u64>(), any::<u32>(), any::<u32>()).prop_map(
                |(lsn, table, chunk, row)| EventId::Snapshot {
                    snapshot: Lsn(lsn),
                    table: TableId(table),
                    chunk,
                    row
                }
            ),
        ];
        (event, any::<u8>()).prop_map(|(event, sub)| RecordId { event, sub })
    }

    proptest! {
        #[test]
        fn the_text_is_the_incarnation_and_the_id(ids in prop::collection::vec(any_id(), 1..20)) {
            let mut text = IdentityText::new("7-shop-slot");
            for id in ids {
                let written = String::from_utf8(text.of(&id).to_vec()).unwrap();
                prop_assert_eq!(written, format!("7-shop-slot:{id}"));
            }
        }
    }
}
