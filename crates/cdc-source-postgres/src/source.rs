//! The source: takes the slot, checks that what the checkpoint remembers still holds, and opens the
//! stream. What happens after a crash between any two steps: see [`crate::setup`].

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use cdc_pipeline::port::{Checkpoint, CheckpointUpdate, Opened, Source};
use tokio::time::Instant;

use crate::config::Config;
use crate::error::{Error, Halt};
use crate::guard::{self, Facts, Guards};
use crate::position::StreamPosition;
use crate::setup::{INTENT_KEY, Identity, Intent, SETUP_KEY, Setup};
use crate::snapshot::Snapshot;
use crate::snapshot::begin::{Begin, snapshot_name};
use crate::snapshot::progress::Progress;
use crate::sql::Sql;
use crate::status::{Phase, StatusHandle};
use crate::stream::link::{self, Link};
use crate::stream::{Follow, PostgresAcknowledger, PostgresStream};
use crate::wire::{Connection, SlotSnapshot};
use crate::{preflight, publication, slot};

/// How long a session of ours that was just let go may keep its slot.
const RELEASE_LIMIT: Duration = Duration::from_secs(5);
const RELEASE_POLL: Duration = Duration::from_millis(50);

/// A PostgreSQL database as a source of changes.
pub struct PostgresSource {
    config: Arc<Config>,
    guards: Guards,
    status: StatusHandle,
    /// The slot, once taken.
    link: Option<Link>,
}

impl PostgresSource {
    /// Makes a source; connects to nothing yet.
    pub fn new(config: Config) -> Self {
        Self::with_guards(config, Guards::all())
    }

    /// Makes a source without some of its checks, for tests that show what each one prevents.
    /// Without them changes are lost silently.
    pub fn with_guards(config: Config, guards: Guards) -> Self {
        Self { config: Arc::new(config), guards, status: StatusHandle::new(), link: None }
    }

    /// Returns a handle to what the source tells about itself; it stays valid across reopening.
    pub fn status(&self) -> StatusHandle {
        self.status.clone()
    }

    async fn try_open(
        &mut self,
        checkpoint: Option<&Checkpoint>,
    ) -> Result<Opened<PostgresStream, PostgresAcknowledger>, Error> {
        let sql = Sql::connect(&self.config.connect).await?;
        let mut connection = link::connect(&self.config).await?;
        let identity = identify(&mut connection, &sql).await?;
        let setup = checkpoint.map(Setup::read).transpose()?.flatten();
        if let (Some(setup), Some(checkpoint)) = (setup, checkpoint) {
            drop(connection);
            return self.resume(&sql, identity, setup, checkpoint).await;
        }
        match checkpoint.map(Intent::read).transpose()?.flatten() {
            None => self.intend(&sql, identity).await,
            Some(intent) => self.create(&sql, connection, identity, &intent).await,
        }
    }

    /// Checks everything, and says what is about to be made.
    async fn intend<S, A>(&mut self, sql: &Sql, identity: Identity) -> Result<Opened<S, A>, Error> {
        preflight::require(sql, &self.config, self.guards).await?;
        let intent = Intent {
            system_id: identity.system_id,
            database: identity.database,
            slot: self.config.slot.clone(),
            publication: self.config.publication.clone(),
        };
        Ok(Opened::Mark(CheckpointUpdate {
            entries: vec![(INTENT_KEY.into(), Some(intent.encode()))],
            ..CheckpointUpdate::default()
        }))
    }

    /// Makes publication and slot, first removing what an earlier attempt left.
    async fn create(
        &mut self,
        sql: &Sql,
        connection: Connection,
        identity: Identity,
        intent: &Intent,
    ) -> Result<Opened<PostgresStream, PostgresAcknowledger>, Error> {
        self.check_intent(intent, &identity)?;
        self.link = None;
        self.remove_leftovers(sql).await?;
        let outcome = self.create_anew(sql, connection, identity).await;
        if outcome.is_err() {
            // Best effort; what is left is ours by the intent and removed by the next attempt.
            self.link = None;
            if let Err(error) = self.remove_leftovers(sql).await {
                tracing::warn!(error = %error, "half-made slot or publication not removed");
            }
        }
        outcome
    }

    fn check_intent(&self, intent: &Intent, identity: &Identity) -> Result<(), Halt> {
        // An intent names what a setup does, before there is any.
        let setup = Setup {
            identity: Identity {
                system_id: intent.system_id.clone(),
                timeline: identity.timeline,
                database: intent.database,
            },
            slot: intent.slot.clone(),
            publication: intent.publication.clone(),
            publication_oid: 0,
            consistent: cdc_model::Lsn::ZERO,
            tables: Vec::new(),
        };
        guard::check_identity(&setup, identity)?;
        guard::check_names(&setup, &self.config)
    }

    async fn remove_leftovers(&mut self, sql: &Sql) -> Result<(), Error> {
        let deadline = Instant::now() + RELEASE_LIMIT;
        while let Some(found) = slot::find(sql, &self.config.slot).await? {
            match found.active_pid {
                None => slot::drop(sql, &self.config.slot).await?,
                // Our own last session may need a moment to end; another's is waited for by
                // `acquire`.
                pid if Instant::now() >= deadline => {
                    return Err(Error::SlotInUse { slot: self.config.slot.clone(), pid });
                }
                Some(_) => tokio::time::sleep(RELEASE_POLL).await,
            }
        }
        publication::drop(sql, &self.config.publication).await
    }

    async fn create_anew(
        &mut self,
        sql: &Sql,
        mut connection: Connection,
        identity: Identity,
    ) -> Result<Opened<PostgresStream, PostgresAcknowledger>, Error> {
        let config = self.config.clone();
        let tables = preflight::require_tables(sql, &config, self.guards).await?;
        publication::create(sql, &config.publication, &tables).await?;
        let made = publication::find(sql, &config.publication)
            .await?
            .ok_or_else(|| Halt::PublicationMissing { publication: config.publication.clone() })?;
        let relations: Vec<u32> = made.tables.iter().map(|member| member.relation).collect();
        // Locked before the snapshot exists.
        let begin = Begin::lock(&config, self.guards, &self.status, &relations).await?;
        let slot = connection
            .create_slot(&config.slot, false, SlotSnapshot::Export)
            .await
            .map_err(Error::wire("making the slot"))?;
        let consistent = slot.consistent_point;
        let name = snapshot_name(slot.snapshot_name)?;
        let mut plan = begin.exported(&name, consistent).await?;
        // The readers hold the snapshot now; this connection takes the slot: the lock.
        let link = link::start(connection, &config, &self.status).await?;
        let setup = Setup {
            identity,
            slot: config.slot.clone(),
            publication: config.publication.clone(),
            publication_oid: made.oid,
            consistent,
            tables: made.tables,
        };
        plan.preamble.push((SETUP_KEY.into(), Some(setup.encode())));
        let snapshot = Snapshot::start(plan, &config, self.status.clone());
        let position = StreamPosition::between(consistent);
        Ok(self.ready(link, setup, (position, Progress::default()), Some(snapshot)))
    }

    /// Goes on where the checkpoint stands, if everything it remembers still holds.
    async fn resume(
        &mut self,
        sql: &Sql,
        identity: Identity,
        setup: Setup,
        checkpoint: &Checkpoint,
    ) -> Result<Opened<PostgresStream, PostgresAcknowledger>, Error> {
        let position = checkpoint.position.as_ref().ok_or_else(|| Halt::CheckpointCorrupt {
            what: "a pipeline that was set up has no position".to_owned(),
        })?;
        let position = StreamPosition::decode(position)?;
        let progress = Progress::read(checkpoint)?;
        if self.guards.identity {
            guard::check_identity(&setup, &identity)?;
        }
        self.check(sql, &setup, position, !progress.is_done()).await?;
        let link = match self.link.take() {
            Some(link) => link,
            // The slot came to be after `acquire` looked.
            None => link::take(&self.config, &self.status)
                .await?
                .ok_or_else(|| Halt::SlotMissing { slot: self.config.slot.clone() })?,
        };
        let (snapshot, progress) = if progress.is_done() {
            (None, progress)
        } else {
            let config = self.config.clone();
            let relations = setup.relations();
            let begin = Begin::lock(&config, self.guards, &self.status, &relations).await?;
            let plan = begin.resumed(progress, setup.consistent).await?;
            (Some(Snapshot::start(plan, &config, self.status.clone())), Progress::default())
        };
        Ok(self.ready(link, setup, (position, progress), snapshot))
    }

    /// The position check: each failure is a case of silent loss.
    async fn check(
        &mut self,
        sql: &Sql,
        setup: &Setup,
        position: StreamPosition,
        reads_tables: bool,
    ) -> Result<(), Error> {
        guard::check_names(setup, &self.config)?;
        preflight::Server::read(sql).await?.require_level()?;
        let facts = Facts::read(sql, &self.config).await?;
        if self.guards.slot {
            guard::check_slot(&self.config.slot, facts.slot.as_ref(), position.ack)?;
        }
        if self.guards.publication {
            guard::check_publication(setup, &facts)?;
        }
        if self.guards.tables {
            guard::check_tables(setup, &facts, reads_tables)?;
        }
        Ok(())
    }

    fn ready(
        &self,
        link: Link,
        setup: Setup,
        (position, progress): (StreamPosition, Progress),
        snapshot: Option<Snapshot>,
    ) -> Opened<PostgresStream, PostgresAcknowledger> {
        let Link { reader, feedback, task } = link;
        // What the checkpoint holds is durable.
        feedback.acknowledge(position.ack);
        let follow = Follow {
            config: self.config.clone(),
            guards: self.guards,
            setup: Arc::new(setup),
            reader,
            position,
            progress,
            activity: Arc::new(AtomicU64::new(0)),
            feedback: feedback.clone(),
        };
        let stream = PostgresStream::new(snapshot, follow, task, self.status.clone());
        Opened::Ready(stream, PostgresAcknowledger(feedback))
    }
}

impl Source for PostgresSource {
    type Error = Error;
    type Stream = PostgresStream;
    type Acknowledger = PostgresAcknowledger;

    async fn acquire(&mut self) -> Result<(), Error> {
        self.link = None;
        self.status.set_phase(Phase::Starting);
        self.link = note_halt(&self.status, link::take(&self.config, &self.status).await)?;
        self.status.set_phase(Phase::Starting);
        Ok(())
    }

    async fn open(
        &mut self,
        checkpoint: Option<&Checkpoint>,
    ) -> Result<Opened<PostgresStream, PostgresAcknowledger>, Error> {
        let outcome = self.try_open(checkpoint).await;
        note_halt(&self.status, outcome)
    }
}

fn note_halt<T>(status: &StatusHandle, outcome: Result<T, Error>) -> Result<T, Error> {
    if let Err(Error::Halt(halt)) = &outcome {
        status.set_phase(Phase::Halted { code: halt.code() });
    }
    outcome
}

/// Asks the server who it is.
async fn identify(connection: &mut Connection, sql: &Sql) -> Result<Identity, Error> {
    let system =
        connection.identify_system().await.map_err(Error::wire("asking the server who it is"))?;
    let rows = sql
        .query(
            "SELECT oid FROM pg_database WHERE datname = current_database()",
            &[],
            "asking for the database's oid",
        )
        .await?;
    Ok(Identity {
        system_id: system.system_id.to_string(),
        timeline: system.timeline,
        database: rows.first().map(|row| row.get(0)).unwrap_or_default(),
    })
}

impl fmt::Debug for PostgresSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresSource")
            .field("slot", &self.config.slot)
            .field("has_slot", &self.link.is_some())
            .finish_non_exhaustive()
    }
}
