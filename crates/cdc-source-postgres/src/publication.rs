//! The publication: an explicit list of tables, made before the slot.
//!
//! Never FOR ALL TABLES, and never a table without replica identity: publishing one makes the
//! owner's updates and deletes fail. Partitions are listed by themselves, so a change carries the
//! name of the partition it was made in.

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

/// Looks the publication up.
pub(crate) async fn find(sql: &Sql, name: &str) -> Result<Option<Publication>, Error> {
    let doing = "looking up the publication";
    let rows = sql
        .query(
            "SELECT oid, pubinsert AND pubupdate AND pubdelete AND pubtruncate
                    AND NOT puballtables AND NOT pubviaroot
             FROM pg_publication WHERE pubname = $1",
            &[&name],
            doing,
        )
        .await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let oid: u32 = row.get(0);
    let rows = sql
        .query(
            "SELECT r.prrelid, r.oid, n.nspname::text, c.relname::text
             FROM pg_publication_rel r
             JOIN pg_class c ON c.oid = r.prrelid JOIN pg_namespace n ON n.oid = c.relnamespace
             WHERE r.prpubid = $1 AND to_jsonb(r) ->> 'prqual' IS NULL
               AND to_jsonb(r) ->> 'prattrs' IS NULL ORDER BY 1",
            &[&oid],
            doing,
        )
        .await?;
    let tables = rows
        .iter()
        .map(|row| Member {
            relation: row.get(0),
            membership: row.get(1),
            name: cdc_model::TableName::new(row.get::<_, &str>(2), row.get::<_, &str>(3)),
        })
        .collect();
    Ok(Some(Publication { oid, is_complete: row.get(1), tables }))
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
