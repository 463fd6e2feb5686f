//! The position check: is what the checkpoint remembers still what the server has? Each difference
//! is a case in which PostgreSQL itself would go on without a word and rows would be missing.
//!
//! Pure: facts in, the first halt out. It runs before streaming and every `guard_interval` while
//! streaming.

use std::collections::BTreeMap;

use cdc_model::Lsn;

use crate::catalog::Table;
use crate::config::Config;
use crate::error::{Error, Halt};
use crate::publication::{self, Publication};
use crate::setup::{Identity, Setup};
use crate::slot::{self, Slot};
use crate::sql::Sql;
use crate::{catalog, preflight};

/// Which checks are made. All, outside of tests that show what each of them prevents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Guards {
    /// Server, database, timeline.
    pub identity: bool,
    /// That the slot is there, is the recorded one, and is not ahead of us.
    pub slot: bool,
    /// That publication and members are the recorded ones.
    pub publication: bool,
    /// That the tables can be read whole: replica identity, row-level security.
    pub tables: bool,
}

impl Guards {
    /// Every check.
    pub fn all() -> Self {
        Self { identity: true, slot: true, publication: true, tables: true }
    }
}

impl Default for Guards {
    fn default() -> Self {
        Self::all()
    }
}

/// What the server has now.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Facts {
    pub(crate) slot: Option<Slot>,
    pub(crate) publication: Option<Publication>,
    /// The recorded tables that still exist, and those that match the patterns.
    pub(crate) tables: Vec<Table>,
}

impl Facts {
    pub(crate) async fn read(sql: &Sql, config: &Config) -> Result<Self, Error> {
        Ok(Self {
            slot: slot::find(sql, &config.slot).await?,
            publication: publication::find(sql, &config.publication).await?,
            tables: catalog::tables(sql, None).await?,
        })
    }
}

/// Checks that server and database are the recorded ones.
pub(crate) fn check_identity(setup: &Setup, found: &Identity) -> Result<(), Halt> {
    let recorded = &setup.identity;
    if recorded.system_id != found.system_id {
        return Err(Halt::SystemIdChanged {
            recorded: recorded.system_id.clone(),
            found: found.system_id.clone(),
        });
    }
    if recorded.database != found.database {
        return Err(Halt::DatabaseChanged { recorded: recorded.database, found: found.database });
    }
    if recorded.timeline != found.timeline {
        return Err(Halt::TimelineChanged { recorded: recorded.timeline, found: found.timeline });
    }
    Ok(())
}

/// Checks that slot and publication of the configuration are the recorded ones.
pub(crate) fn check_names(setup: &Setup, config: &Config) -> Result<(), Halt> {
    let pairs = [
        ("slot", &setup.slot, &config.slot),
        ("publication", &setup.publication, &config.publication),
    ];
    for (what, recorded, configured) in pairs {
        if recorded != configured {
            return Err(Halt::NameChanged {
                what,
                recorded: recorded.clone(),
                configured: configured.clone(),
            });
        }
    }
    Ok(())
}

/// Checks the slot against `acknowledged`, the newest LSN we hold everything up to.
///
/// The catalogue does not say when a slot was made. If it still keeps the log from before our
/// position, it is the old one, advanced by hand; if it does not, it was most likely made again.
/// Either way changes are gone.
pub(crate) fn check_slot(name: &str, slot: Option<&Slot>, acknowledged: Lsn) -> Result<(), Halt> {
    let slot_name = || name.to_owned();
    let Some(slot) = slot else { return Err(Halt::SlotMissing { slot: slot_name() }) };
    if let Some(reason) = &slot.lost {
        return Err(Halt::SlotLost { slot: slot_name(), reason: reason.clone() });
    }
    let Some(restart) = slot.restart else {
        return Err(Halt::SlotLost { slot: slot_name(), reason: "no restart_lsn".to_owned() });
    };
    if restart > acknowledged {
        return Err(Halt::SlotRecreated { slot: slot_name(), restart, position: acknowledged });
    }
    match slot.confirmed {
        Some(confirmed) if confirmed > acknowledged => {
            Err(Halt::PositionBehindSlot { slot: slot_name(), confirmed, position: acknowledged })
        }
        _ => Ok(()),
    }
}

/// Checks publication and members by oid. A table that was dropped is no loss and passes.
pub(crate) fn check_publication(setup: &Setup, facts: &Facts) -> Result<(), Halt> {
    let publication = || setup.publication.clone();
    let Some(found) = &facts.publication else {
        return Err(Halt::PublicationMissing { publication: publication() });
    };
    if found.oid != setup.publication_oid {
        return Err(Halt::PublicationRecreated { publication: publication() });
    }
    if !found.is_complete {
        return Err(Halt::PublicationChanged { publication: publication() });
    }
    let members: BTreeMap<u32, u32> =
        found.tables.iter().map(|member| (member.relation, member.membership)).collect();
    for member in &setup.tables {
        if members.get(&member.relation) == Some(&member.membership) {
            continue;
        }
        if facts.tables.iter().any(|table| table.oid == member.relation) {
            return Err(Halt::TableNotInPublication {
                table: member.name.clone(),
                publication: publication(),
            });
        }
        if facts.tables.iter().any(|table| table.name == member.name) {
            return Err(Halt::TableRecreated { table: member.name.clone() });
        }
    }
    Ok(())
}

/// Checks that the recorded tables can still be captured whole.
pub(crate) fn check_tables(setup: &Setup, facts: &Facts, reads_tables: bool) -> Result<(), Halt> {
    let captured: Vec<Table> = facts
        .tables
        .iter()
        .filter(|table| setup.tables.iter().any(|member| member.relation == table.oid))
        .cloned()
        .collect();
    preflight::require_identity(&captured)?;
    if reads_tables {
        preflight::require_visible(&captured)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot() -> Slot {
        Slot {
            plugin: "pgoutput".into(),
            database: "db".into(),
            active_pid: None,
            restart: Some(Lsn(90)),
            confirmed: Some(Lsn(100)),
            lost: None,
            safe_wal_bytes: None,
            retained_bytes: None,
        }
    }

    #[track_caller]
    fn check(slot: Option<&Slot>, position: u64, expected: Option<&str>) {
        let halt = check_slot("s", slot, Lsn(position)).err();
        assert_eq!(halt.as_ref().map(Halt::code), expected);
    }

    #[test]
    fn a_slot_that_cannot_continue_from_our_position_halts_with_its_code() {
        check(Some(&slot()), 100, None);
        check(Some(&slot()), 110, None);
        check(None, 100, Some("SLOT_MISSING"));
        check(Some(&slot()), 95, Some("POSITION_BEHIND_SLOT"));
        check(Some(&slot()), 80, Some("SLOT_RECREATED"));
        check(Some(&Slot { lost: Some("wal_removed".into()), ..slot() }), 100, Some("SLOT_LOST"));
        check(Some(&Slot { restart: None, ..slot() }), 100, Some("SLOT_LOST"));
    }
}
