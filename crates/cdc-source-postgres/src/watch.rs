//! Watches the server beside the stream: compares slot and publication with what they were, and
//! writes a heartbeat to the log of an idle database, which tells idle from stuck.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cdc_model::TableName;
use cdc_pipeline::error::{Classify, ErrorClass};
use tokio::time::{Instant, MissedTickBehavior};

use crate::catalog::Kind;
use crate::config::Config;
use crate::error::Error;
use crate::guard::{self, Facts, Guards};
use crate::setup::Setup;
use crate::sql::Sql;
use crate::status::StatusHandle;
use crate::stream::feedback::Feedback;
use crate::stream::pump::Queue;

/// Messages under this prefix are ours and go no further.
pub(crate) const HEARTBEAT_PREFIX: &str = "penstock.heartbeat";

/// What the task works with.
pub(crate) struct Watch {
    pub(crate) config: Arc<Config>,
    pub(crate) guards: Guards,
    pub(crate) setup: Arc<Setup>,
    pub(crate) status: StatusHandle,
    pub(crate) feedback: Feedback,
    pub(crate) activity: Arc<AtomicU64>,
}

impl Watch {
    /// Runs until a check fails, which it puts into `queue`, or the receiver is gone.
    pub(crate) async fn run(self, queue: Queue) {
        let ticker = |interval: std::time::Duration| {
            let period = interval.max(std::time::Duration::from_millis(10));
            let mut ticker = tokio::time::interval_at(Instant::now() + period, period);
            ticker.set_missed_tick_behavior(MissedTickBehavior::Delay);
            ticker
        };
        let mut checks = ticker(self.config.guard_interval);
        let mut heartbeats = ticker(self.config.heartbeat_interval);
        let has_heartbeat = !self.config.heartbeat_interval.is_zero();
        let mut session: Option<Sql> = None;
        let mut seen = 0;
        loop {
            let outcome = tokio::select! {
                () = queue.closed() => return,
                _ = checks.tick() => self.check(&mut session).await,
                _ = heartbeats.tick(), if has_heartbeat => self.heartbeat(&mut session, &mut seen).await,
            };
            let Err(error) = outcome else { continue };
            session = None;
            if error.class() == ErrorClass::Fatal {
                let _closed = queue.send(Err(error)).await;
                return;
            }
            // The stream notices a server that is away by itself.
            tracing::debug!(error = %error, "the server could not be watched");
        }
    }

    /// Compares the server with what was recorded.
    async fn check(&self, session: &mut Option<Sql>) -> Result<(), Error> {
        let sql = connected(session, &self.config).await?;
        let facts = Facts::read(sql, &self.config).await?;
        self.report(&facts);
        if self.guards.slot {
            // Read after the facts, so it is not behind what the slot had confirmed by then.
            let acknowledged = self.feedback.acknowledged();
            guard::check_slot(&self.config.slot, facts.slot.as_ref(), acknowledged)?;
        }
        if self.guards.publication {
            guard::check_publication(&self.setup, &facts)?;
        }
        if self.guards.tables {
            guard::check_tables(&self.setup, &facts, false)?;
        }
        Ok(())
    }

    fn report(&self, facts: &Facts) {
        let is_captured = |oid: u32| self.setup.tables.iter().any(|member| member.relation == oid);
        let uncaptured: Vec<TableName> = facts
            .tables
            .iter()
            .filter(|table| table.kind == Kind::Plain && !is_captured(table.oid))
            .map(|table| table.name.clone())
            .filter(|name| self.config.tables.matches(name))
            .collect();
        self.status.update(|status| {
            if let Some(slot) = &facts.slot {
                status.retained_bytes = slot.retained_bytes;
                status.safe_wal_bytes = slot.safe_wal_bytes;
            }
            if status.uncaptured != uncaptured {
                for table in &uncaptured {
                    tracing::warn!(%table, "matches the patterns and is not captured");
                }
                status.uncaptured = uncaptured;
            }
        });
    }

    /// Writes a heartbeat, unless changes came since the last.
    async fn heartbeat(&self, session: &mut Option<Sql>, seen: &mut u64) -> Result<(), Error> {
        let activity = self.activity.load(Ordering::Relaxed);
        if std::mem::replace(seen, activity) != activity {
            return Ok(());
        }
        let sql = connected(session, &self.config).await?;
        let emit = format!("SELECT pg_logical_emit_message(true, '{HEARTBEAT_PREFIX}', '')");
        match sql.execute(&emit, "writing a heartbeat").await {
            // A standby is read-only: its primary writes the log.
            Err(error) if error.sqlstate() == Some("25006") => Ok(()),
            // 55000: recovery is in progress.
            Err(error) if error.sqlstate() == Some("55000") => Ok(()),
            outcome => outcome,
        }
    }
}

async fn connected<'a>(session: &'a mut Option<Sql>, config: &Config) -> Result<&'a Sql, Error> {
    let open = session.take().filter(|sql| !sql.client().is_closed());
    let sql = match open {
        Some(sql) => sql,
        None => Sql::connect(&config.connect).await?,
    };
    Ok(session.insert(sql))
}
