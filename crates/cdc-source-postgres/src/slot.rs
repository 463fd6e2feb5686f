//! The slot as the catalogue has it. It is the pipeline's lock, and keeps the log for it.

use cdc_model::Lsn;

use crate::error::Error;
use crate::sql::{self, Sql};

/// The state of a slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Slot {
    pub(crate) plugin: String,
    pub(crate) database: String,
    pub(crate) active_pid: Option<i32>,
    pub(crate) restart: Option<Lsn>,
    pub(crate) confirmed: Option<Lsn>,
    /// Why it can no longer be used: `invalidation_reason`, or `wal_status`.
    pub(crate) lost: Option<String>,
    pub(crate) safe_wal_bytes: Option<i64>,
    pub(crate) retained_bytes: Option<u64>,
}

// `to_jsonb` reads columns that older servers do not have.
const FIND: &str = "
    SELECT s.plugin::text, s.database::text, s.active_pid, s.restart_lsn::text,
           s.confirmed_flush_lsn::text,
           coalesce(to_jsonb(s) ->> 'invalidation_reason',
                    CASE WHEN s.wal_status = 'lost' THEN 'wal_status lost' END),
           s.safe_wal_size,
           (CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()
                 ELSE pg_current_wal_lsn() END - s.restart_lsn)::int8
    FROM pg_replication_slots s WHERE s.slot_name = $1";

/// Looks the slot up.
pub(crate) async fn find(sql: &Sql, name: &str) -> Result<Option<Slot>, Error> {
    let rows = sql.query(FIND, &[&name], "looking up the slot").await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let lsn =
        |index: usize| row.get::<_, Option<String>>(index).map(|text| sql::lsn(&text)).transpose();
    Ok(Some(Slot {
        plugin: row.get::<_, Option<String>>(0).unwrap_or_default(),
        database: row.get::<_, Option<String>>(1).unwrap_or_default(),
        active_pid: row.get(2),
        restart: lsn(3)?,
        confirmed: lsn(4)?,
        lost: row.get(5),
        safe_wal_bytes: row.get(6),
        retained_bytes: row.get::<_, Option<i64>>(7).and_then(|bytes| u64::try_from(bytes).ok()),
    }))
}

/// Drops it.
pub(crate) async fn drop(sql: &Sql, name: &str) -> Result<(), Error> {
    sql.query("SELECT pg_drop_replication_slot($1)", &[&name], "dropping the half-made slot")
        .await
        .map(|_| ())
}
