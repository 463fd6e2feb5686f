//! Compares the source and each projection, row for row.

use std::time::Duration;

use anyhow::Context;
use cdc_control::v1;
use cdc_model::TableName;
use projector::Projector;
use serde_json::{Map, Value as Json};
use tokio_postgres::Client;
use tokio_postgres::types::Type;

/// Most rows of one table that are compared.
const ROWS_MAX: usize = 5_000_000;

const QUERY_LIMIT: Duration = Duration::from_secs(60);

/// What a comparison found.
#[derive(Debug, Clone)]
pub(super) struct Comparison {
    /// Each table.
    pub(super) tables: Vec<TableComparison>,
    /// What the audit log's own examination found; nothing if it is whole.
    pub(super) audit: Option<String>,
}

/// What it found of one table.
#[derive(Debug, Clone)]
pub(super) struct TableComparison {
    /// Its name at the source.
    pub(super) name: String,
    /// Rows at the source.
    pub(super) source_rows: usize,
    pub(super) projections: Vec<Copy>,
}

/// What one projection holds of a table.
#[derive(Debug, Clone)]
pub(super) struct Copy {
    pub(super) projection: &'static str,
    pub(super) rows: usize,
    /// Rows that are in one only, or differ.
    pub(super) differing_rows: usize,
}

impl Comparison {
    /// Returns whether every row of every table is the same everywhere, and the audit log whole.
    pub(super) fn is_equal(&self) -> bool {
        self.differing_rows() == 0 && self.audit.is_none()
    }

    /// Returns whether waiting changes nothing: all there is was applied, but for dead letters.
    pub(super) fn is_settled(&self, status: &v1::StatusReply) -> bool {
        let dead = status.projections.iter().map(|one| one.dead_letters).sum::<u64>();
        let is_level = |one: &v1::Projection| one.records_applied == one.records_total;
        dead > 0 && status.projections.iter().all(is_level)
    }

    /// Returns how many rows the source has.
    pub(super) fn rows(&self) -> u64 {
        total(self.tables.iter().map(|table| table.source_rows))
    }

    /// Returns how many rows differ, in all projections together.
    pub(super) fn differing_rows(&self) -> u64 {
        let copies = self.tables.iter().flat_map(|table| &table.projections);
        total(copies.map(|copy| copy.differing_rows))
    }
}

fn total(counts: impl Iterator<Item = usize>) -> u64 {
    u64::try_from(counts.sum::<usize>()).unwrap_or(u64::MAX)
}

/// A row as texts; what is NULL has none.
type Texts = Vec<Option<String>>;

/// A table of the source.
struct Table {
    name: TableName,
    columns: Vec<(String, Type)>,
}

/// Compares every table as it is now. Meaningful only while the source stands still and the
/// projections have caught up.
pub(super) async fn compare(client: &Client, projector: &Projector) -> anyhow::Result<Comparison> {
    let mut found = Vec::new();
    for table in tables(client).await? {
        let source = read(client, &table.select(|name, _| format!("{name}::text"))).await?;
        let mut copies = Vec::new();
        if projector.query().is_some() {
            let source = read(client, &table.select(for_warehouse)).await?;
            copies.push(copy(projector::DUCKDB.0, source, warehouse(projector, &table).await?));
        }
        if let Some(search) = projector.search() {
            let rows = search.rows(&table.name.to_string(), ROWS_MAX).await?;
            copies.push(copy(projector::SEARCH.0, source.clone(), texts(&table, rows)));
        }
        if let Some(audit) = projector.audit() {
            let rows = audit.rows(&table.name, ROWS_MAX).await?;
            copies.push(copy(projector::AUDIT.0, source.clone(), texts(&table, rows)));
        }
        found.push(TableComparison {
            name: table.name.to_string(),
            source_rows: source.len(),
            projections: copies,
        });
    }
    let audit = match projector.audit() {
        Some(audit) => audit
            .verify()
            .await?
            .findings
            .first()
            .map(|found| format!("{} line {}: {}", found.file, found.line, found.what)),
        None => None,
    };
    Ok(Comparison { tables: found, audit })
}

async fn tables(client: &Client) -> anyhow::Result<Vec<Table>> {
    let sql = "SELECT tablename::text FROM pg_tables WHERE schemaname = 'public' ORDER BY 1";
    let mut tables = Vec::new();
    for row in &client.query(sql, &[]).await? {
        let name: &str = row.get(0);
        let statement = client.prepare(&format!("SELECT * FROM public.\"{name}\"")).await?;
        let column =
            |column: &tokio_postgres::Column| (column.name().to_owned(), column.type_().clone());
        let columns = statement.columns().iter().map(column).collect();
        tables.push(Table { name: TableName::new("public", name), columns });
    }
    Ok(tables)
}

impl Table {
    /// Returns how to read it at the source, each column as `form` says.
    fn select(&self, form: impl Fn(&str, &Type) -> String) -> String {
        let columns = self.columns.iter().map(|(name, ty)| form(&format!("\"{name}\""), ty));
        let columns = columns.collect::<Vec<_>>().join(", ");
        format!("SELECT {columns} FROM \"{}\".\"{}\"", self.name.schema, self.name.table)
    }
}

/// A column at the source, such that equal values are texts equal to those of the warehouse.
fn for_warehouse(name: &str, ty: &Type) -> String {
    match *ty {
        Type::TIMESTAMPTZ | Type::TIMESTAMP => {
            format!("(extract(epoch FROM {name}) * 1000000)::bigint::text")
        }
        _ => format!("{name}::text"),
    }
}

async fn read(client: &Client, sql: &str) -> anyhow::Result<Vec<Texts>> {
    let rows = client.query(sql, &[]).await?;
    let texts = |row: &tokio_postgres::Row| (0..row.len()).map(|index| row.get(index)).collect();
    Ok(rows.iter().map(texts).collect())
}

async fn warehouse(projector: &Projector, table: &Table) -> anyhow::Result<Vec<Texts>> {
    let columns = table.columns.iter().map(|(name, ty)| match *ty {
        Type::TIMESTAMPTZ | Type::TIMESTAMP => format!("CAST(epoch_us(\"{name}\") AS VARCHAR)"),
        _ => format!("CAST(\"{name}\" AS VARCHAR)"),
    });
    let columns = columns.collect::<Vec<_>>().join(", ");
    let sql = format!("SELECT {columns} FROM \"{}_{}\"", table.name.schema, table.name.table);
    let query = projector.query().context("there is no warehouse")?;
    let reply = query.query(&sql, ROWS_MAX, QUERY_LIMIT).await;
    Ok(reply.with_context(|| format!("reading {} from the warehouse", table.name))?.rows)
}

/// Returns rows of JSON as texts, in the table's order of columns.
fn texts(table: &Table, rows: Vec<Map<String, Json>>) -> Vec<Texts> {
    let text = |value: &Json| match value {
        Json::Null => None,
        Json::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    };
    let texts = |row: &Map<String, Json>| {
        table.columns.iter().map(|(name, _)| row.get(name).and_then(text)).collect()
    };
    rows.iter().map(texts).collect()
}

fn copy(projection: &'static str, source: Vec<Texts>, rows: Vec<Texts>) -> Copy {
    Copy { projection, rows: rows.len(), differing_rows: differing(source, rows) }
}

/// Counts rows that are in one of the two only: as multisets, so that a doubled row counts.
fn differing(mut source: Vec<Texts>, mut copy: Vec<Texts>) -> usize {
    source.sort();
    copy.sort();
    let (mut a, mut b) = (source.into_iter().peekable(), copy.into_iter().peekable());
    let mut count = 0;
    loop {
        let order = match (a.peek(), b.peek()) {
            (None, None) => return count,
            (Some(x), Some(y)) => x.cmp(y),
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
        };
        count += usize::from(order.is_ne());
        if order.is_le() {
            a.next();
        }
        if order.is_ge() {
            b.next();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(texts: &[&str]) -> Vec<Texts> {
        texts.iter().map(|text| vec![Some((*text).to_owned()), None]).collect()
    }

    #[test]
    fn rows_lost_doubled_and_changed_are_counted() {
        for (source, copy, expected) in [
            (&["a", "b"][..], &["b", "a"][..], 0),
            (&["a", "b"], &["a"], 1),
            (&["a"], &["a", "a"], 1),
            (&["a", "b"], &["a", "c"], 2),
            (&[], &[], 0),
        ] {
            assert_eq!(differing(rows(source), rows(copy)), expected, "{source:?} {copy:?}");
        }
    }
}
