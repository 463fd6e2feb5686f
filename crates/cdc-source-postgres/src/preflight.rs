//! Whether a server is fit to be captured: what the start insists on, and what `penstock doctor`
//! prints, with the SQL that mends it.

use cdc_model::TableName;

use crate::catalog::{self, Kind, Table};
use crate::config::Config;
use crate::error::{Error, Halt};
use crate::guard::Guards;
use crate::sql::{self, Sql};
use crate::{publication, slot};

mod doctor;

pub use doctor::{Finding, Severity, check};

/// Insists on everything a new pipeline needs, and returns the tables it will capture.
pub(crate) async fn require(
    sql: &Sql,
    config: &Config,
    guards: Guards,
) -> Result<Vec<Table>, Error> {
    let server = Server::read(sql).await?;
    server.require()?;
    if slot::find(sql, &config.slot).await?.is_some() {
        return Err(Halt::SlotExists { slot: config.slot.clone() }.into());
    }
    if publication::find(sql, &config.publication).await?.is_some() {
        return Err(Halt::PublicationExists { publication: config.publication.clone() }.into());
    }
    require_tables(sql, config, guards).await
}

/// Insists on what capturing the matched tables needs, and returns them.
pub(crate) async fn require_tables(
    sql: &Sql,
    config: &Config,
    guards: Guards,
) -> Result<Vec<Table>, Error> {
    let role = sql.text("SELECT current_user", "asking for the role").await?;
    let tables: Vec<Table> =
        matched(sql, config).await?.into_iter().filter(|table| table.kind == Kind::Plain).collect();
    if tables.is_empty() {
        return Err(Halt::NoTables { patterns: config.tables.to_string() }.into());
    }
    require_identity(&tables)?;
    if guards.tables {
        require_visible(&tables)?;
    }
    let lacking = |what: &str, table: &Table, fix: String| Halt::Permission {
        role: role.clone(),
        what: format!("{what} table {}", table.name),
        fix,
    };
    for table in &tables {
        if !table.can_select {
            let fix =
                format!("GRANT SELECT ON {} TO {};", sql::table(&table.name), sql::ident(&role));
            return Err(lacking("SELECT on", table, fix).into());
        }
        if !table.is_owned {
            let fix = format!(
                "ALTER TABLE {} OWNER TO {}; (only owners may publish a table; a role that both \
                 are members of will do)",
                sql::table(&table.name),
                sql::ident(&role)
            );
            return Err(lacking("ownership of", table, fix).into());
        }
    }
    Ok(tables)
}

/// Returns the tables that match the patterns, of whatever kind.
pub(crate) async fn matched(sql: &Sql, config: &Config) -> Result<Vec<Table>, Error> {
    let mut tables = catalog::tables(sql, None).await?;
    tables.retain(|table| config.tables.matches(&table.name));
    Ok(tables)
}

/// Insists that each table's updates and deletes can be published.
pub(crate) fn require_identity(tables: &[Table]) -> Result<(), Halt> {
    let tables = names(tables, |table| !table.has_identity());
    if tables.is_empty() { Ok(()) } else { Err(Halt::ReplicaIdentityMissing { tables }) }
}

/// Insists that no policy hides rows of a table from the snapshot.
pub(crate) fn require_visible(tables: &[Table]) -> Result<(), Halt> {
    let tables = names(tables, |table| table.has_rls);
    if tables.is_empty() { Ok(()) } else { Err(Halt::RlsEnabled { tables }) }
}

fn names(tables: &[Table], which: impl Fn(&Table) -> bool) -> Vec<TableName> {
    tables.iter().filter(|table| which(table)).map(|table| table.name.clone()).collect()
}

/// What the server says of itself.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    version: i32,
    version_text: String,
    wal_level: String,
    encoding: String,
    role: String,
    database: String,
    can_replicate: bool,
    can_create: bool,
    slots: (i64, i64),
    senders: (i64, i64),
    keep_size_mb: i64,
    idle_slot_timeout: Option<String>,
    prepared: i64,
    oldest_transaction_seconds: f64,
}

const SERVER: &str = "
    SELECT current_setting('server_version_num')::int4, current_setting('server_version'),
           current_setting('wal_level'), current_setting('server_encoding'),
           current_user::text, current_database()::text,
           (SELECT rolsuper OR rolreplication FROM pg_roles WHERE rolname = current_user)
             OR EXISTS (SELECT FROM pg_roles
                        WHERE rolname = 'rds_replication' AND pg_has_role(oid, 'MEMBER')),
           has_database_privilege(current_database(), 'CREATE'),
           (SELECT count(*) FROM pg_replication_slots),
           current_setting('max_replication_slots')::int8,
           (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'walsender'),
           current_setting('max_wal_senders')::int8,
           (SELECT setting::int8 FROM pg_settings WHERE name = 'max_slot_wal_keep_size'),
           nullif(current_setting('idle_replication_slot_timeout', true), '0'),
           (SELECT count(*) FROM pg_prepared_xacts WHERE database = current_database()),
           coalesce((SELECT extract(epoch FROM max(now() - xact_start))::float8
                     FROM pg_stat_activity WHERE backend_xid IS NOT NULL), 0)";

impl Server {
    pub(crate) async fn read(sql: &Sql) -> Result<Self, Error> {
        let row = sql
            .client()
            .query_one(SERVER, &[])
            .await
            .map_err(Error::sql("reading the server's settings"))?;
        Ok(Self {
            version: row.get(0),
            version_text: row.get(1),
            wal_level: row.get(2),
            encoding: row.get(3),
            role: row.get(4),
            database: row.get(5),
            can_replicate: row.get(6),
            can_create: row.get(7),
            slots: (row.get(8), row.get(9)),
            senders: (row.get(10), row.get(11)),
            keep_size_mb: row.get(12),
            idle_slot_timeout: row.get(13),
            prepared: row.get(14),
            oldest_transaction_seconds: row.get(15),
        })
    }

    fn require(&self) -> Result<(), Halt> {
        self.require_level()?;
        let lacking = |what: &str, fix: String| {
            Err(Halt::Permission { role: self.role.clone(), what: what.to_owned(), fix })
        };
        if !self.can_replicate {
            return lacking("the REPLICATION attribute", self.replication_fix());
        }
        if !self.can_create {
            return lacking("CREATE on the database", self.create_fix());
        }
        Ok(())
    }

    /// Insists on a version and a `wal_level` that allow logical decoding.
    pub(crate) fn require_level(&self) -> Result<(), Halt> {
        if self.version < 140_000 {
            return Err(Halt::ServerTooOld { version: self.version_text.clone() });
        }
        if self.wal_level != "logical" {
            return Err(Halt::WalLevel { found: self.wal_level.clone() });
        }
        Ok(())
    }

    fn replication_fix(&self) -> String {
        format!("ALTER ROLE {} REPLICATION;", sql::ident(&self.role))
    }

    fn create_fix(&self) -> String {
        format!(
            "GRANT CREATE ON DATABASE {} TO {};",
            sql::ident(&self.database),
            sql::ident(&self.role)
        )
    }
}
