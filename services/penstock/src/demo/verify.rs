//! Compares source and warehouse, row for row.

use std::time::Duration;

use anyhow::Context;
use cdc_sink_duckdb::Query;
use tokio_postgres::Client;
use tokio_postgres::types::Type;

use crate::load::TABLES;

/// Most rows of one table that are compared.
const ROWS_MAX: usize = 5_000_000;

const QUERY_LIMIT: Duration = Duration::from_secs(60);

/// What a comparison found.
#[derive(Debug, Clone)]
pub struct Comparison {
    /// Each table.
    pub tables: Vec<TableComparison>,
}

/// What it found of one table.
#[derive(Debug, Clone)]
pub struct TableComparison {
    /// Its name at the source.
    pub name: String,
    /// Rows at the source.
    pub source_rows: usize,
    /// Rows in the warehouse.
    pub warehouse_rows: usize,
    /// Rows that are in one only, or differ.
    pub differing_rows: usize,
}

impl Comparison {
    /// Returns whether every row of every table is the same in both.
    pub fn is_equal(&self) -> bool {
        self.tables.iter().all(|table| table.differing_rows == 0)
    }

    /// Returns how many rows the source has.
    pub fn rows(&self) -> usize {
        self.tables.iter().map(|table| table.source_rows).sum()
    }
}

/// Compares every table as it is now. Meaningful only while the source stands still and the
/// warehouse has caught up.
pub(super) async fn compare(client: &Client, query: &Query) -> anyhow::Result<Comparison> {
    let mut tables = Vec::new();
    for name in TABLES {
        let (source_sql, warehouse_sql) = selects(client, name).await?;
        let warehouse = query
            .query(&warehouse_sql, ROWS_MAX, QUERY_LIMIT)
            .await
            .with_context(|| format!("reading {name} from the warehouse"))?
            .rows;
        let source = client.query(&source_sql, &[]).await?;
        let row = |row: &tokio_postgres::Row| -> Vec<Option<String>> {
            (0..row.len()).map(|index| row.get(index)).collect()
        };
        let source: Vec<_> = source.iter().map(row).collect();
        tables.push(TableComparison {
            name: format!("public.{name}"),
            source_rows: source.len(),
            warehouse_rows: warehouse.len(),
            differing_rows: differing(source, warehouse),
        });
    }
    Ok(Comparison { tables })
}

/// Counts rows that are in one of the two only.
fn differing(
    mut source: Vec<Vec<Option<String>>>,
    mut warehouse: Vec<Vec<Option<String>>>,
) -> usize {
    source.sort();
    warehouse.sort();
    let (mut a, mut b) = (source.into_iter().peekable(), warehouse.into_iter().peekable());
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

/// Returns how to read a table as text from each side, such that equal values are equal texts.
async fn selects(client: &Client, table: &str) -> anyhow::Result<(String, String)> {
    let statement = client.prepare(&format!("SELECT * FROM public.{table}")).await?;
    let columns = statement.columns().iter().map(|column| {
        let name = format!("\"{}\"", column.name());
        match *column.type_() {
            Type::TIMESTAMPTZ | Type::TIMESTAMP => (
                format!("(extract(epoch FROM {name}) * 1000000)::bigint::text"),
                format!("CAST(epoch_us({name}) AS VARCHAR)"),
            ),
            Type::TEXT_ARRAY => (
                format!("array_to_string({name}, '|', 'NULL')"),
                format!("array_to_string(list_transform({name}, x -> coalesce(x, 'NULL')), '|')"),
            ),
            _ => (format!("{name}::text"), format!("CAST({name} AS VARCHAR)")),
        }
    });
    let (source, warehouse): (Vec<_>, Vec<_>) = columns.unzip();
    Ok((
        format!("SELECT {} FROM public.{table}", source.join(", ")),
        format!("SELECT {} FROM \"public_{table}\"", warehouse.join(", ")),
    ))
}
