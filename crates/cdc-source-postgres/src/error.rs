//! What can go wrong in this source, and the halts: every case in which going on could lose or
//! corrupt data, each with a stable code and what to do about it.

use cdc_model::{Lsn, TableName};
use cdc_pipeline::error::{Classify, ErrorClass};

use crate::{pgoutput, value, wire};

/// A failure of the source.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The replication connection failed.
    #[error("{doing}")]
    Wire {
        /// What was being done.
        doing: &'static str,
        /// Why it failed.
        #[source]
        source: wire::Error,
    },
    /// An SQL connection failed.
    #[error("{doing}")]
    Sql {
        /// What was being done.
        doing: &'static str,
        /// Why it failed.
        #[source]
        source: tokio_postgres::Error,
    },
    /// Another process took the slot between two of our steps.
    #[error("replication slot \"{slot}\" is in use by server process {pid:?}")]
    SlotInUse {
        /// The slot.
        slot: String,
        /// The server process that serves the other.
        pid: Option<i32>,
    },
    /// The server sent a message that cannot be decoded.
    #[error("a change cannot be decoded")]
    Undecodable(#[from] pgoutput::DecodeError),
    /// A row does not have the form its table's definition gives it.
    #[error("a row of table {table} cannot be read")]
    Row {
        /// The table.
        table: TableName,
        /// What is wrong with it; columns are counted from 0.
        #[source]
        source: value::RowError,
    },
    /// A task of the source has ended, and with it the stream.
    #[error("the stream has ended")]
    Ended,
    /// Going on could lose or corrupt data.
    #[error(transparent)]
    Halt(#[from] Halt),
}

/// A reason to stop until a person decides.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Halt {
    /// The checkpoint was not written by this source, or is damaged.
    #[error("the checkpoint cannot be read: {what}")]
    CheckpointCorrupt {
        /// Which part of it.
        what: String,
    },
    /// Another server cluster answers at the address.
    #[error("the server is another one: system identifier {found}, recorded was {recorded}")]
    SystemIdChanged {
        /// As recorded when the pipeline was set up.
        recorded: String,
        /// As found now.
        found: String,
    },
    /// Another database of that name, or another name.
    #[error("the database is another one: oid {found}, recorded was {recorded}")]
    DatabaseChanged {
        /// As recorded.
        recorded: u32,
        /// As found.
        found: u32,
    },
    /// The server was promoted or restored since.
    #[error("the server is on timeline {found}, recorded was {recorded}")]
    TimelineChanged {
        /// As recorded.
        recorded: u32,
        /// As found.
        found: u32,
    },
    /// The configuration names another slot or publication than the checkpoint.
    #[error("the pipeline was set up with {what} \"{recorded}\", configured is \"{configured}\"")]
    NameChanged {
        /// Slot or publication.
        what: &'static str,
        /// As recorded.
        recorded: String,
        /// As configured.
        configured: String,
    },
    /// The slot is gone.
    #[error("replication slot \"{slot}\" does not exist any more")]
    SlotMissing {
        /// The slot.
        slot: String,
    },
    /// The slot starts after our position: it is another one of the same name.
    #[error(
        "replication slot \"{slot}\" keeps the log only from {restart} on, after our position \
         {position}: it was dropped and made again, or advanced far"
    )]
    SlotRecreated {
        /// The slot.
        slot: String,
        /// Its `restart_lsn`.
        restart: Lsn,
        /// Up to where we have read.
        position: Lsn,
    },
    /// The server has removed log the slot needed.
    #[error("replication slot \"{slot}\" has been invalidated ({reason})")]
    SlotLost {
        /// The slot.
        slot: String,
        /// `invalidation_reason`, or `wal_status` before PostgreSQL 17.
        reason: String,
    },
    /// Somebody advanced the slot past what we have.
    #[error(
        "replication slot \"{slot}\" was advanced to {confirmed}, past our position {position}"
    )]
    PositionBehindSlot {
        /// The slot.
        slot: String,
        /// Its `confirmed_flush_lsn`.
        confirmed: Lsn,
        /// Up to where we have read.
        position: Lsn,
    },
    /// A slot of that name exists that this pipeline did not make.
    #[error("replication slot \"{slot}\" exists, and this pipeline did not make it")]
    SlotExists {
        /// The slot.
        slot: String,
    },
    /// A publication of that name exists that this pipeline did not make.
    #[error("publication \"{publication}\" exists, and this pipeline did not make it")]
    PublicationExists {
        /// The publication.
        publication: String,
    },
    /// The publication is gone.
    #[error("publication \"{publication}\" does not exist any more")]
    PublicationMissing {
        /// The publication.
        publication: String,
    },
    /// It was dropped and made again.
    #[error("publication \"{publication}\" was dropped and made again")]
    PublicationRecreated {
        /// The publication.
        publication: String,
    },
    /// The server decodes a part of the log in which the publication did not exist yet.
    #[error("publication \"{publication}\" was made after the slot, whose log does not know it")]
    PublicationAfterSlot {
        /// The publication.
        publication: String,
    },
    /// It no longer publishes inserts, updates, deletes and truncates alike.
    #[error("publication \"{publication}\" no longer publishes every kind of change")]
    PublicationChanged {
        /// The publication.
        publication: String,
    },
    /// A captured table is no longer published, or was taken out and put in again.
    #[error("table {table} was taken out of publication \"{publication}\"")]
    TableNotInPublication {
        /// The table.
        table: TableName,
        /// The publication.
        publication: String,
    },
    /// A captured table was dropped and another of its name made.
    #[error("table {table} was dropped and made again")]
    TableRecreated {
        /// The table.
        table: TableName,
    },
    /// Updates and deletes of these tables cannot be published.
    #[error("without replica identity: {}", names(.tables))]
    ReplicaIdentityMissing {
        /// The tables.
        tables: Vec<TableName>,
    },
    /// Row-level security would hide rows of these tables from the snapshot.
    #[error("row-level security applies to us on: {}", names(.tables))]
    RlsEnabled {
        /// The tables.
        tables: Vec<TableName>,
    },
    /// The server does not log enough.
    #[error("wal_level is {found}, and must be logical")]
    WalLevel {
        /// As found.
        found: String,
    },
    /// The role may not do what is needed.
    #[error("role \"{role}\" lacks {what}")]
    Permission {
        /// The role.
        role: String,
        /// The privilege.
        what: String,
        /// The command that grants it.
        fix: String,
    },
    /// No table matches the patterns.
    #[error("no table matches \"{patterns}\"")]
    NoTables {
        /// The patterns.
        patterns: String,
    },
    /// The server is too old.
    #[error("the server is PostgreSQL {version}, and must be 14 or later")]
    ServerTooOld {
        /// Its version.
        version: String,
    },
    /// The server is a standby, where an interrupted snapshot cannot be finished.
    #[error("the server is a standby; an interrupted snapshot can only be finished on its primary")]
    ServerIsStandby,
    /// A key change across two snapshots lacks a column that the server did not send.
    #[error(
        "a changed key of table {table} crosses an interrupted snapshot, and the server did not \
         send every column"
    )]
    UnchangedAcrossSnapshots {
        /// The table.
        table: TableName,
    },
    /// A change names a table the server did not describe.
    #[error("a change of relation {relation}, which the server did not describe")]
    RelationUnknown {
        /// Its oid.
        relation: u32,
    },
    /// The server warned on the replication connection.
    #[error("the server warned: {message} (SQLSTATE {code})")]
    ServerWarned {
        /// The warning.
        message: String,
        /// Its SQLSTATE.
        code: String,
    },
}

fn names(tables: &[TableName]) -> String {
    let mut text: Vec<String> = tables.iter().take(10).map(ToString::to_string).collect();
    if tables.len() > 10 {
        text.push(format!("and {} more", tables.len() - 10));
    }
    text.join(", ")
}

impl Error {
    pub(crate) fn wire(doing: &'static str) -> impl FnOnce(wire::Error) -> Self {
        move |source| Self::Wire { doing, source }
    }

    pub(crate) fn sql(doing: &'static str) -> impl FnOnce(tokio_postgres::Error) -> Self {
        move |source| Self::Sql { doing, source }
    }

    /// Returns the SQLSTATE, if the server reported one.
    pub(crate) fn sqlstate(&self) -> Option<&str> {
        match self {
            Self::Wire { source, .. } => source.sqlstate(),
            Self::Sql { source, .. } => source.code().map(tokio_postgres::error::SqlState::code),
            _ => None,
        }
    }
}

/// Reads what SQL connections report the way the replication connection reports it.
fn server_error(source: &tokio_postgres::Error) -> Option<wire::ServerError> {
    source.as_db_error().map(|error| wire::ServerError {
        severity: error.severity().to_owned(),
        code: error.code().code().to_owned(),
        message: error.message().to_owned(),
        hint: error.hint().map(ToOwned::to_owned),
    })
}

impl Classify for Error {
    #[deny(clippy::wildcard_enum_match_arm)]
    fn class(&self) -> ErrorClass {
        match self {
            Self::Wire { source, .. } => source.class(),
            Self::Sql { source, .. } => match server_error(source) {
                Some(error) => error.class(),
                None => ErrorClass::Transient,
            },
            Self::SlotInUse { .. } | Self::Ended => ErrorClass::Transient,
            Self::Undecodable(_) | Self::Row { .. } | Self::Halt(_) => ErrorClass::Fatal,
        }
    }

    #[deny(clippy::wildcard_enum_match_arm)]
    fn code(&self) -> Option<&'static str> {
        match self {
            Self::Wire { source, .. } => source.code(),
            Self::Sql { source, .. } => server_error(source).and_then(|error| error.code()),
            Self::SlotInUse { .. } | Self::Ended => None,
            Self::Undecodable(_) => Some("CHANGE_UNDECODABLE"),
            Self::Row { .. } => Some("ROW_UNREADABLE"),
            Self::Halt(halt) => Some(halt.code()),
        }
    }

    #[deny(clippy::wildcard_enum_match_arm)]
    fn remedy(&self) -> Option<String> {
        match self {
            Self::Wire { source, .. } => source.remedy(),
            Self::Sql { source, .. } => server_error(source).and_then(|error| error.remedy()),
            Self::SlotInUse { .. } | Self::Ended => None,
            Self::Undecodable(_) | Self::Row { .. } => Some(
                "Nothing was skipped and the slot keeps the change. Report it with the server's \
                 version; take the table out of the patterns to go on without it."
                    .to_owned(),
            ),
            Self::Halt(halt) => Some(halt.remedy()),
        }
    }
}

impl Halt {
    /// Returns the stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::CheckpointCorrupt { .. } => "CHECKPOINT_CORRUPT",
            Self::SystemIdChanged { .. } => "SYSTEM_ID_CHANGED",
            Self::DatabaseChanged { .. } => "DATABASE_CHANGED",
            Self::TimelineChanged { .. } => "TIMELINE_CHANGED",
            Self::NameChanged { .. } => "NAME_CHANGED",
            Self::SlotMissing { .. } => "SLOT_MISSING",
            Self::SlotRecreated { .. } => "SLOT_RECREATED",
            Self::SlotLost { .. } => "SLOT_LOST",
            Self::PositionBehindSlot { .. } => "POSITION_BEHIND_SLOT",
            Self::SlotExists { .. } => "SLOT_EXISTS",
            Self::PublicationExists { .. } => "PUBLICATION_EXISTS",
            Self::PublicationMissing { .. } => "PUBLICATION_MISSING",
            Self::PublicationRecreated { .. } => "PUBLICATION_RECREATED",
            Self::PublicationAfterSlot { .. } => "PUBLICATION_AFTER_SLOT",
            Self::PublicationChanged { .. } => "PUBLICATION_CHANGED",
            Self::TableNotInPublication { .. } => "TABLE_NOT_IN_PUBLICATION",
            Self::TableRecreated { .. } => "TABLE_RECREATED",
            Self::ReplicaIdentityMissing { .. } => "REPLICA_IDENTITY_MISSING",
            Self::RlsEnabled { .. } => "RLS_ENABLED",
            Self::WalLevel { .. } => "WAL_LEVEL",
            Self::Permission { .. } => "PRIVILEGE_MISSING",
            Self::NoTables { .. } => "NO_TABLES",
            Self::ServerTooOld { .. } => "SERVER_UNSUPPORTED",
            Self::ServerIsStandby => "SERVER_IS_STANDBY",
            Self::UnchangedAcrossSnapshots { .. } => "UNCHANGED_ACROSS_SNAPSHOTS",
            Self::RelationUnknown { .. } => "RELATION_UNKNOWN",
            Self::ServerWarned { .. } => "SERVER_WARNED",
        }
    }

    /// Returns what the operator does about it.
    #[expect(clippy::too_many_lines, reason = "one match over every halt")]
    pub fn remedy(&self) -> String {
        const ANEW: &str = "To take a new snapshot, drop what is left (SELECT \
            pg_drop_replication_slot('slot'); DROP PUBLICATION publication;) and start the \
            pipeline with a new data directory or a new slot name.";
        match self {
            Self::CheckpointCorrupt { .. } => {
                "Make sure that the data directory or position topic belongs to this pipeline."
                    .to_owned()
            }
            Self::SystemIdChanged { .. } | Self::DatabaseChanged { .. } => format!(
                "Point the connection string back at the recorded server and database. {ANEW}"
            ),
            Self::TimelineChanged { .. } => format!(
                "After a promotion or a restore, commits already delivered may be missing on the \
                 server, so this always halts. {ANEW}"
            ),
            Self::NameChanged { what, recorded, .. } => {
                format!("Set the {what} back to \"{recorded}\".")
            }
            Self::SlotMissing { .. }
            | Self::SlotRecreated { .. }
            | Self::SlotLost { .. }
            | Self::PositionBehindSlot { .. } => {
                format!("Changes since our position cannot be had any more. {ANEW}")
            }
            Self::SlotExists { slot } => format!(
                "If nobody needs it: SELECT pg_drop_replication_slot('{slot}'); else configure \
                 another slot name. If this pipeline's data directory was lost, changes would be \
                 too: dropping the slot takes a new snapshot."
            ),
            Self::PublicationExists { publication } => format!(
                "If nobody needs it: DROP PUBLICATION \"{publication}\"; else configure another \
                 publication name."
            ),
            Self::PublicationMissing { .. }
            | Self::PublicationRecreated { .. }
            | Self::PublicationAfterSlot { .. }
            | Self::TableRecreated { .. } => {
                format!("Changes made meanwhile were not published. {ANEW}")
            }
            Self::TableNotInPublication { publication, .. } => format!(
                "Changes made since it was taken out of \"{publication}\" were not published. \
                 {ANEW}"
            ),
            Self::PublicationChanged { publication } => format!(
                "ALTER PUBLICATION \"{publication}\" SET (publish = \
                 'insert,update,delete,truncate'); changes made meanwhile were not published. \
                 {ANEW}"
            ),
            Self::ReplicaIdentityMissing { tables } => {
                let fixes: Vec<String> = tables
                    .iter()
                    .take(5)
                    .map(|table| {
                        format!("ALTER TABLE {} REPLICA IDENTITY FULL;", crate::sql::table(table))
                    })
                    .collect();
                format!(
                    "Add a primary key, or: {} Or leave the table out with !schema.table in the \
                     patterns.",
                    fixes.join(" ")
                )
            }
            Self::RlsEnabled { .. } => "Connect as a role with BYPASSRLS (ALTER ROLE name \
                BYPASSRLS;), or as the tables' owner without FORCE ROW LEVEL SECURITY."
                .to_owned(),
            Self::WalLevel { .. } => {
                "ALTER SYSTEM SET wal_level = logical; then restart the server.".to_owned()
            }
            Self::Permission { fix, .. } => fix.clone(),
            Self::NoTables { .. } => {
                "Name tables as schema.table, exactly as the catalogue spells them; public.* takes \
                 every table of the schema."
                    .to_owned()
            }
            Self::ServerTooOld { .. } => "Upgrade the server.".to_owned(),
            Self::ServerIsStandby => {
                "Point --source at the primary (SELECT pg_is_in_recovery() is false there)."
                    .to_owned()
            }
            Self::UnchangedAcrossSnapshots { table } => {
                format!("ALTER TABLE {} REPLICA IDENTITY FULL; {ANEW}", crate::sql::table(table))
            }
            Self::RelationUnknown { .. } | Self::ServerWarned { .. } => {
                "Look into the server's log. Nothing was skipped, and the slot keeps the changes."
                    .to_owned()
            }
        }
    }
}
