//! What truly happened, told by PostgreSQL itself: a second slot, read by its own `test_decoding`.

use std::collections::BTreeMap;

use anyhow::{Context, bail};
use cdc_model::Lsn;
use testkit::server::postgres::Postgres;

/// Makes the oracle's slot.
pub(crate) const CREATE: &str =
    "SELECT pg_create_logical_replication_slot('oracle', 'test_decoding')";

/// Changes fetched at a time. `data` is cut: only its head is read.
const FETCH: &str = "SELECT lsn::text, left(data, 300)
    FROM pg_logical_slot_get_changes('oracle', NULL, 50000)";

/// One change of one row, as far as it is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Change {
    /// Debezium's letter.
    pub(crate) op: char,
    /// The row's `id`; 0 for a truncate.
    pub(crate) id: i64,
    /// The row's `v` after the change.
    pub(crate) v: Option<i64>,
}

/// The changes of a table in commit order, each with the end of its commit record.
pub(crate) type Truth = BTreeMap<String, Vec<(Lsn, Change)>>;

/// How many changes of each table and operation there were.
pub(crate) type Counts = BTreeMap<(String, char), u64>;

/// Reads everything committed since the oracle's slot was made, and takes it off the slot.
pub(crate) async fn drain(postgres: &Postgres) -> anyhow::Result<Truth> {
    let client = postgres.client().await;
    let mut truth = Truth::new();
    let mut transaction = Vec::new();
    loop {
        let rows = client.query(FETCH, &[]).await.context("reading the oracle's slot")?;
        if rows.is_empty() {
            return Ok(truth);
        }
        for row in rows {
            let (lsn, data): (&str, &str) = (row.get(0), row.get(1));
            if data.starts_with("COMMIT") {
                let end: Lsn = lsn.parse()?;
                for (table, change) in transaction.drain(..) {
                    truth.entry(table).or_default().push((end, change));
                }
            } else if let Some(rest) = data.strip_prefix("table public.") {
                parse(rest, &mut transaction).with_context(|| format!("reading {data:?}"))?;
            }
        }
    }
}

/// Counts what is in `truth`; a key change is a delete and a create.
pub(crate) fn count(truth: &Truth) -> Counts {
    let mut counts = Counts::new();
    for (table, changes) in truth {
        for (_, change) in changes {
            *counts.entry((table.clone(), change.op)).or_default() += 1;
        }
    }
    counts
}

fn parse(line: &str, changes: &mut Vec<(String, Change)>) -> anyhow::Result<()> {
    let (tables, rest) = line.split_once(": ").context("no table")?;
    let (op, row) = rest.split_once(": ").context("no operation")?;
    let mut push = |table: &str, op, id, v| {
        changes.push((table.to_owned(), Change { op, id, v }));
    };
    let id = |row| number(row, "id[bigint]:").context("no id");
    match op {
        "INSERT" => push(tables, 'c', id(row)?, number(row, "v[integer]:")),
        "DELETE" => push(tables, 'd', id(row)?, None),
        "UPDATE" => match row.split_once("new-tuple: ") {
            Some((old, new)) if tables != "keyless" => {
                push(tables, 'd', id(old)?, None);
                push(tables, 'c', id(new)?, number(new, "v[integer]:"));
            }
            Some((_, new)) => push(tables, 'u', id(new)?, number(new, "v[integer]:")),
            None => push(tables, 'u', id(row)?, number(row, "v[integer]:")),
        },
        "TRUNCATE" => {
            for table in tables.split(", ") {
                push(table.trim_start_matches("public."), 't', 0, None);
            }
        }
        _ => bail!("an operation {op:?}"),
    }
    Ok(())
}

/// Returns the number that follows the first `mark`.
fn number(text: &str, mark: &str) -> Option<i64> {
    let (_, rest) = text.split_once(mark)?;
    let end = rest.find(|c: char| c != '-' && !c.is_ascii_digit()).unwrap_or(rest.len());
    rest.get(..end)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Vec<(String, Change)> {
        let mut changes = Vec::new();
        parse(line, &mut changes).expect("is understood");
        changes
    }

    fn of(table: &str, op: char, id: i64, v: Option<i64>) -> (String, Change) {
        (table.to_owned(), Change { op, id, v })
    }

    #[test]
    fn the_lines_of_test_decoding_are_understood() {
        let insert = "item: INSERT: id[bigint]:-5 v[integer]:3 note[text]:'id[bigint]:9'";
        assert_eq!(parsed(insert), [of("item", 'c', -5, Some(3))]);
        let update = "item: UPDATE: id[bigint]:5 v[integer]:4 big[text]:unchanged-toast-datum";
        assert_eq!(parsed(update), [of("item", 'u', 5, Some(4))]);
        let moved = "item: UPDATE: old-key: id[bigint]:5 new-tuple: id[bigint]:6 v[integer]:4";
        assert_eq!(parsed(moved), [of("item", 'd', 5, None), of("item", 'c', 6, Some(4))]);
        assert_eq!(parsed("item: DELETE: id[bigint]:5"), [of("item", 'd', 5, None)]);
        assert_eq!(parsed("scratch: TRUNCATE: (no-flags)"), [of("scratch", 't', 0, None)]);
    }
}
