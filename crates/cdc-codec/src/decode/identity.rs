//! The identity header, which log writers put on every record.

use cdc_model::{EventId, Lsn, TableId};

/// Reads `[<incarnation>:]<record id>`, the form of [`cdc_model::RecordId`]'s `Display`; from the
/// right, for an incarnation may be any text.
pub(crate) fn parse(text: &str) -> Option<EventId> {
    let mut parts = text.rsplit(':');
    let _sub: u8 = parts.next()?.parse().ok()?;
    let last = parts.next()?;
    let before_last = parts.next()?;
    if let Ok(commit_lsn) = before_last.parse::<Lsn>() {
        return Some(EventId::Streamed { commit_lsn, seq: last.parse().ok()? });
    }
    let table = parts.next()?;
    let snapshot = parts.next()?.strip_prefix('S')?;
    Some(EventId::Snapshot {
        snapshot: snapshot.parse().ok()?,
        table: TableId(table.parse().ok()?),
        chunk: before_last.parse().ok()?,
        row: last.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_reads_back_with_and_without_an_incarnation() {
        let streamed = EventId::Streamed { commit_lsn: Lsn(0x16_B374_D848), seq: 12 };
        let snapshot = EventId::Snapshot { snapshot: Lsn(77), table: TableId(5), chunk: 3, row: 9 };
        for id in [streamed, snapshot] {
            let text = cdc_model::RecordId { event: id, sub: 2 }.to_string();
            assert_eq!(parse(&text), Some(id));
            assert_eq!(parse(&format!("7123:shop:slot:{text}")), Some(id));
        }
        for text in ["", ":", "1:2", "16/0:1", "x:y:z", "S1/2:3:4:5"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
