//! What the server's catalogue says of tables. It says it of *now*; the log may be older, so
//! [`crate::relation`] takes nothing from here that the log's own description contradicts.

use std::collections::BTreeMap;
use std::sync::Arc;

use cdc_model::{DefaultValue, ReplicaIdentity, TableName};
use tokio_postgres::Row;

use crate::error::Error;
use crate::sql::Sql;

/// One table.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Table {
    pub(crate) oid: u32,
    pub(crate) name: TableName,
    pub(crate) kind: Kind,
    pub(crate) identity: ReplicaIdentity,
    /// The file it is kept in: a TRUNCATE or a rewrite gives it another.
    pub(crate) filenode: u32,
    /// Rows, as last estimated; negative if never.
    pub(crate) rows_estimated: f64,
    /// Whether policies would hide rows from us.
    pub(crate) has_rls: bool,
    pub(crate) can_select: bool,
    pub(crate) is_owned: bool,
    /// Those the log carries: not dropped, not generated; by number.
    pub(crate) columns: Vec<Column>,
    /// Numbers of the primary key's columns, in the key's order.
    pub(crate) primary_key: Vec<i16>,
    /// Numbers of the columns of the index chosen as replica identity, in the index's order.
    pub(crate) identity_index: Vec<i16>,
}

/// What kind of relation it is, as far as capturing goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A table, or a partition that holds rows.
    Plain,
    /// Writes no log.
    Unlogged,
    /// A partitioned table, whose rows are in its partitions.
    Partitioned,
}

/// One column.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Column {
    pub(crate) number: i16,
    pub(crate) name: Arc<str>,
    pub(crate) type_oid: u32,
    pub(crate) modifier: i32,
    pub(crate) type_name: String,
    pub(crate) is_nullable: bool,
    pub(crate) default: Option<DefaultValue>,
    /// What rows have that are older than the column (`attmissingval`).
    pub(crate) missing: Option<Arc<str>>,
    /// Whether text in it is ordered by its bytes.
    pub(crate) is_bytewise: bool,
}

impl Table {
    /// Returns the numbers of the columns by which rows are told apart in old images, in the order
    /// of their index; empty if there are none.
    pub(crate) fn key(&self) -> &[i16] {
        match self.identity {
            ReplicaIdentity::Index => &self.identity_index,
            ReplicaIdentity::Default | ReplicaIdentity::Full => &self.primary_key,
            ReplicaIdentity::Nothing => &[],
        }
    }

    /// Returns whether updates and deletes can be published.
    pub(crate) fn has_identity(&self) -> bool {
        self.identity == ReplicaIdentity::Full || !self.key().is_empty()
    }

    pub(crate) fn column(&self, number: i16) -> Option<&Column> {
        self.columns.iter().find(|column| column.number == number)
    }
}

const TABLES: &str = "
    SELECT c.oid, n.nspname::text, c.relname::text, c.relkind::text, c.relpersistence::text,
           c.relreplident::text, c.relfilenode, c.reltuples::float8,
           row_security_active(c.oid), has_table_privilege(c.oid, 'SELECT'),
           pg_has_role(c.relowner, 'USAGE')
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't'
      AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
      AND ($1::oid[] IS NULL OR c.oid = ANY ($1))
    ORDER BY n.nspname, c.relname";

const COLUMNS: &str = "
    SELECT a.attrelid, a.attnum, a.attname::text, a.atttypid, a.atttypmod, a.attnotnull,
           pg_get_expr(d.adbin, d.adrelid), format_type(a.atttypid, a.atttypmod),
           coalesce(CASE
               WHEN co.collname = 'default' THEN
                   CASE to_jsonb(db) ->> 'datlocprovider' WHEN 'b' THEN true WHEN 'i' THEN false
                       ELSE db.datcollate IN ('C', 'POSIX', 'C.UTF-8', 'C.utf8') END
               WHEN co.collprovider = 'b' THEN true
               WHEN co.collprovider = 'c' AND co.collisdeterministic THEN
                   co.collcollate IN ('C', 'POSIX', 'C.UTF-8', 'C.utf8')
               ELSE false END, false),
           CASE WHEN a.atthasmissing THEN (a.attmissingval::text::text[])[1] END
    FROM pg_attribute a
    JOIN pg_database db ON db.datname = current_database()
    LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    LEFT JOIN pg_collation co ON co.oid = a.attcollation
    WHERE a.attrelid = ANY ($1) AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
    ORDER BY a.attrelid, a.attnum";

const KEYS: &str = "
    SELECT i.indrelid, i.indisprimary, i.indisreplident,
           (SELECT array_agg(u.k ORDER BY u.o)
            FROM unnest(i.indkey::int2[]) WITH ORDINALITY u(k, o) WHERE u.o <= i.indnkeyatts)
    FROM pg_index i
    WHERE i.indrelid = ANY ($1) AND (i.indisprimary OR i.indisreplident) AND i.indisvalid";

/// Loads the tables with these oids, or all; those that do not exist are left out.
pub(crate) async fn tables(sql: &Sql, oids: Option<&[u32]>) -> Result<Vec<Table>, Error> {
    let doing = "reading the catalogue";
    let mut tables: Vec<Table> =
        sql.query(TABLES, &[&oids], doing).await?.iter().map(table).collect();
    let oids: Vec<u32> = tables.iter().map(|table| table.oid).collect();
    let rows = sql.query(COLUMNS, &[&oids], doing).await?;
    let mut columns = columns(sql, &rows).await?;
    let mut keys: BTreeMap<u32, (Vec<i16>, Vec<i16>)> = BTreeMap::new();
    for row in sql.query(KEYS, &[&oids], doing).await? {
        let (primary, identity) = keys.entry(row.get(0)).or_default();
        let numbers: Vec<i16> = row.get(3);
        if row.get(1) {
            primary.clone_from(&numbers);
        }
        if row.get(2) {
            *identity = numbers;
        }
    }
    for table in &mut tables {
        table.columns = columns.remove(&table.oid).unwrap_or_default();
        (table.primary_key, table.identity_index) = keys.remove(&table.oid).unwrap_or_default();
    }
    Ok(tables)
}

fn table(row: &Row) -> Table {
    let (kind, persistence): (&str, &str) = (row.get(3), row.get(4));
    Table {
        oid: row.get(0),
        name: TableName::new(row.get::<_, &str>(1), row.get::<_, &str>(2)),
        kind: match (kind, persistence) {
            ("p", _) => Kind::Partitioned,
            (_, "u") => Kind::Unlogged,
            _ => Kind::Plain,
        },
        identity: identity(row.get::<_, &str>(5).as_bytes().first().copied().unwrap_or(b'n')),
        filenode: row.get(6),
        rows_estimated: row.get(7),
        has_rls: row.get(8),
        can_select: row.get(9),
        is_owned: row.get(10),
        columns: Vec::new(),
        primary_key: Vec::new(),
        identity_index: Vec::new(),
    }
}

/// Reads `pg_class.relreplident`, which Relation messages carry too.
pub(crate) fn identity(letter: u8) -> ReplicaIdentity {
    match letter {
        b'd' => ReplicaIdentity::Default,
        b'f' => ReplicaIdentity::Full,
        b'i' => ReplicaIdentity::Index,
        _ => ReplicaIdentity::Nothing,
    }
}

async fn columns(sql: &Sql, rows: &[Row]) -> Result<BTreeMap<u32, Vec<Column>>, Error> {
    let expression = |row: &Row| row.get::<_, Option<String>>(6);
    let constants: Vec<String> = rows
        .iter()
        .filter_map(|row| {
            let text = expression(row).filter(|text| is_constant(text))?;
            Some(format!("CAST({text} AS {})", row.get::<_, String>(7)))
        })
        .collect();
    let mut printed = print_constants(sql, &constants).await?.into_iter();
    let mut columns: BTreeMap<u32, Vec<Column>> = BTreeMap::new();
    for row in rows {
        let default = match expression(row) {
            None => None,
            Some(text) if is_constant(&text) => match printed.next() {
                Some(Some(text)) => Some(DefaultValue::Literal(text.into())),
                Some(None) => None,
                None => Some(DefaultValue::Expression),
            },
            Some(_) => Some(DefaultValue::Expression),
        };
        columns.entry(row.get(0)).or_default().push(Column {
            number: row.get(1),
            name: row.get::<_, &str>(2).into(),
            type_oid: row.get(3),
            modifier: row.get(4),
            is_nullable: !row.get::<_, bool>(5),
            type_name: row.get(7),
            default,
            is_bytewise: row.get(8),
            missing: row.get::<_, Option<&str>>(9).map(Into::into),
        });
    }
    Ok(columns)
}

/// Has the server print constants in their column's type; empty if it cannot.
async fn print_constants(sql: &Sql, constants: &[String]) -> Result<Vec<Option<String>>, Error> {
    let mut printed = Vec::with_capacity(constants.len());
    // A row has at most 1,664 columns.
    for part in constants.chunks(1_000) {
        let query = format!("SELECT {}", part.join(", "));
        match sql.texts(&query, "reading defaults").await {
            Ok(rows) => printed.extend(rows.into_iter().next().unwrap_or_default()),
            // A default that its own type refuses (a domain's check): none of them is told.
            Err(error) if error.sqlstate().is_some() => return Ok(Vec::new()),
            Err(error) => return Err(error),
        }
    }
    Ok(printed)
}

/// Returns whether a default, as `pg_get_expr` prints it, is a constant: a number, true, false,
/// NULL or a quoted text, with casts behind it.
fn is_constant(expression: &str) -> bool {
    let (literal, casts) = match expression.strip_prefix('\'') {
        Some(rest) => match quoted_end(rest) {
            Some(end) => rest.split_at(end),
            None => return false,
        },
        None => expression.split_at(expression.find("::").unwrap_or(expression.len())),
    };
    let is_word = matches!(literal, "true" | "false" | "NULL");
    let is_number = !literal.is_empty() && literal.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let is_literal = expression.starts_with('\'') || is_word || is_number;
    let is_cast = |b: u8| b.is_ascii_alphanumeric() || b" :_\"(),.[]".contains(&b);
    is_literal && (casts.is_empty() || casts.starts_with("::")) && casts.bytes().all(is_cast)
}

/// Returns where the text after the closing quote begins.
fn quoted_end(rest: &str) -> Option<usize> {
    let mut bytes = rest.bytes().enumerate().peekable();
    while let Some((index, byte)) = bytes.next() {
        if byte == b'\'' && bytes.next_if(|(_, next)| *next == b'\'').is_none() {
            return Some(index + 1);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_constants_count_as_constant_defaults() {
        for text in [
            "0",
            "1.50",
            "true",
            "'a''b'::text",
            "'-1'::integer",
            "NULL::character varying",
            "'{}'::text[]",
            "'x'::character varying(3)",
            "''::text",
            "'a'::public.\"Mood\"",
        ] {
            assert!(is_constant(text), "{text}");
        }
        for text in [
            "now()",
            "nextval('s'::regclass)",
            "('a'::text || 'b'::text)",
            "",
            "CURRENT_TIMESTAMP",
            "'a'::text || 'b'::text",
            "(1 + 2)",
            "- 1",
        ] {
            assert!(!is_constant(text), "{text}");
        }
    }
}
