//! What is recorded of how a pipeline was set up, so that a later start can tell that it still
//! meets the same server, slot and publication.
//!
//! # Crash between any two steps
//! | step | durable after it | found at the next start | then |
//! |---|---|---|---|
//! | 1 checks | nothing, on either side | nothing | from 1 |
//! | 2 the mark [`Intent`] in the log | intent | intent | from 3 |
//! | 3 publication made | intent; publication | intent, no [`Setup`] | it is dropped, from 3 |
//! | 4 slot made, its snapshot exported | intent; publication, slot | the same | both dropped, from 3 |
//! | 5 [`Setup`] appended with the first position | everything | setup | the snapshot is resumed |
//!
//! Before step 2 a slot or publication of our names is somebody else's and halts. Between 2 and 5
//! it is ours by the intent, and as nothing was emitted, nothing is lost by making it anew. After
//! step 5 it is never dropped here.

use bytes::Bytes;
use cdc_model::{Lsn, TableName};
use cdc_pipeline::port::Checkpoint;

use crate::entry::{Decoder, Encoder};
use crate::error::Error;

pub(crate) const INTENT_KEY: &str = "source/intent";
pub(crate) const SETUP_KEY: &str = "source/setup";

/// Which server and database a connection leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) system_id: String,
    pub(crate) timeline: u32,
    pub(crate) database: u32,
}

/// What is about to be made on the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Intent {
    pub(crate) system_id: String,
    pub(crate) database: u32,
    pub(crate) slot: String,
    pub(crate) publication: String,
}

/// What was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Setup {
    pub(crate) identity: Identity,
    pub(crate) slot: String,
    pub(crate) publication: String,
    pub(crate) publication_oid: u32,
    /// Where the slot begins.
    pub(crate) consistent: Lsn,
    pub(crate) tables: Vec<Member>,
}

/// A table of the publication.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) relation: u32,
    /// Oid of its row in `pg_publication_rel`: another one means that it was taken out and put in
    /// again.
    pub(crate) membership: u32,
    pub(crate) name: TableName,
}

impl Intent {
    pub(crate) fn encode(&self) -> Bytes {
        Encoder::new()
            .text(&self.system_id)
            .u32(self.database)
            .text(&self.slot)
            .text(&self.publication)
            .finish()
    }

    pub(crate) fn read(checkpoint: &Checkpoint) -> Result<Option<Self>, Error> {
        let Some(bytes) = checkpoint.entries.get(INTENT_KEY) else { return Ok(None) };
        let mut decoder = Decoder::new(INTENT_KEY, bytes)?;
        Ok(Some(Self {
            system_id: decoder.text()?,
            database: decoder.u32()?,
            slot: decoder.text()?,
            publication: decoder.text()?,
        }))
    }
}

impl Setup {
    pub(crate) fn encode(&self) -> Bytes {
        Encoder::new()
            .text(&self.identity.system_id)
            .u32(self.identity.timeline)
            .u32(self.identity.database)
            .text(&self.slot)
            .text(&self.publication)
            .u32(self.publication_oid)
            .lsn(self.consistent)
            .list(&self.tables, |encoder, member| {
                encoder.u32(member.relation).u32(member.membership).name(&member.name);
            })
            .finish()
    }

    pub(crate) fn read(checkpoint: &Checkpoint) -> Result<Option<Self>, Error> {
        let Some(bytes) = checkpoint.entries.get(SETUP_KEY) else { return Ok(None) };
        let mut decoder = Decoder::new(SETUP_KEY, bytes)?;
        Ok(Some(Self {
            identity: Identity {
                system_id: decoder.text()?,
                timeline: decoder.u32()?,
                database: decoder.u32()?,
            },
            slot: decoder.text()?,
            publication: decoder.text()?,
            publication_oid: decoder.u32()?,
            consistent: decoder.lsn()?,
            tables: decoder.list(|decoder| {
                Ok(Member {
                    relation: decoder.u32()?,
                    membership: decoder.u32()?,
                    name: decoder.name()?,
                })
            })?,
        }))
    }

    pub(crate) fn relations(&self) -> Vec<u32> {
        self.tables.iter().map(|member| member.relation).collect()
    }
}
