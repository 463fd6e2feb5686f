//! The publication: an explicit list of tables, made before the slot.
//!
//! Never FOR ALL TABLES, and never a table without replica identity: publishing one makes the
//! owner's updates and deletes fail. Partitions are listed by themselves, so a change carries the
//! name of the partition it was made in.

use cdc_model::TableName;

use crate::catalog::Table;
use crate::error::Error;
use crate::setup::Member;
use crate::sql::{self, Sql};

/// The publication as the catalogue has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Publication {
    pub(crate) oid: u32,
    pub(crate) is_complete: bool,
    pub(crate) tables: Vec<Member>,
}

/// Looks the publication up, in one statement: one dropped meanwhile is found whole or not at all.
pub(crate) async fn find(sql: &Sql, name: &str) -> Result<Option<Publication>, Error> {
    let rows = sql
        .query(
            "SELECT p.oid, p.pubinsert AND p.pubupdate AND p.pubdelete AND p.pubtruncate
                    AND NOT p.puballtables AND NOT p.pubviaroot,
                    r.prrelid, r.oid, n.nspname::text, c.relname::text
             FROM pg_publication p LEFT JOIN (pg_publication_rel r
                 JOIN pg_class c ON c.oid = r.prrelid JOIN pg_namespace n ON n.oid = c.relnamespace)
               ON r.prpubid = p.oid AND to_jsonb(r) ->> 'prqual' IS NULL
               AND to_jsonb(r) ->> 'prattrs' IS NULL
             WHERE p.pubname = $1 ORDER BY 3",
            &[&name],
            "looking up the publication",
        )
        .await?;
    let Some(first) = rows.first() else { return Ok(None) };
    // A publication without tables is one row without a member.
    let member = |row: &tokio_postgres::Row| {
        let relation = row.get::<_, Option<u32>>(2)?;
        let name = TableName::new(row.get::<_, &str>(4), row.get::<_, &str>(5));
        Some(Member { relation, membership: row.get(3), name })
    };
    let tables = rows.iter().filter_map(member).collect();
    Ok(Some(Publication { oid: first.get(0), is_complete: first.get(1), tables }))
}

/// Makes the publication of `tables`.
pub(crate) async fn create(sql: &Sql, name: &str, tables: &[Table]) -> Result<(), Error> {
    sql.execute(&create_statement(name, tables), "creating the publication").await
}

/// Returns the statement that makes it.
pub(crate) fn create_statement(name: &str, tables: &[Table]) -> String {
    let tables: Vec<String> = tables.iter().map(|table| sql::table(&table.name)).collect();
    format!(
        "CREATE PUBLICATION {} FOR TABLE ONLY {} WITH (publish = 'insert,update,delete,truncate')",
        sql::ident(name),
        tables.join(", ONLY ")
    )
}

/// Drops it, if it exists.
pub(crate) async fn drop(sql: &Sql, name: &str) -> Result<(), Error> {
    sql.execute(
        &format!("DROP PUBLICATION IF EXISTS {}", sql::ident(name)),
        "dropping the half-made publication",
    )
    .await
}
