//! Figures that need a look now and then: rates, latencies, rows, topics.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cdc_model::TableName;
use cdc_pipeline::port::{LogReader, TopicMeta};
use cdc_runtime::rates::{LOOK_INTERVAL, Rate, Recent};
use tokio::time::Instant;

use crate::complete::Completeness;
use crate::projection::{DUCKDB, Projection};
use crate::service::Projector;

/// Tables whose rows are counted; with more, counting would cost more than it tells.
const COUNTED_TABLES_MAX: usize = 50;

/// Looks at the projections every half second.
#[derive(Debug, Default)]
pub(crate) struct Sampler(Mutex<Sample>);

/// What was seen last.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sample {
    pub(crate) loops: BTreeMap<&'static str, Figures>,
    /// Rows of each table in the warehouse.
    pub(crate) rows: BTreeMap<TableName, u64>,
    pub(crate) topics: Vec<TopicMeta>,
}

/// One projection's.
#[derive(Debug, Clone, Default)]
pub(crate) struct Figures {
    pub(crate) applied: Rate,
    pub(crate) read: Recent,
    pub(crate) visible: Recent,
    pub(crate) completeness: Completeness,
    /// Records that are parked; none if that is not known yet.
    pub(crate) parked: Option<u64>,
}

impl Sampler {
    /// Looks again and again.
    pub(crate) async fn run(&self, projector: &Projector) {
        let mut reader = projector.log.reader();
        loop {
            let rows = count_rows(projector).await;
            let mut parked = Vec::new();
            for projection in &projector.projections {
                parked.push(count_parked(projection).await);
            }
            let asked = Instant::now();
            let topics = reader.topics().await;
            {
                let mut sample = self.lock();
                for (projection, parked) in projector.projections.iter().zip(parked) {
                    let figures = sample.loops.entry(projection.name).or_default();
                    figures.look(projection);
                    figures.parked = parked.or(figures.parked);
                    if let Ok(topics) = &topics {
                        let followed = topics.iter().filter(|meta| projector.follows(&meta.topic));
                        let offsets = projection.stats.offsets();
                        figures.completeness.look(asked, followed, &offsets);
                    }
                }
                sample.rows = rows.unwrap_or_default();
                match topics {
                    Ok(topics) => sample.topics = topics,
                    Err(error) => tracing::debug!(error = %error, "topics are not listed"),
                }
            }
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    }

    /// Returns what was seen last.
    pub(crate) fn last(&self) -> Sample {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Sample> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Figures {
    fn look(&mut self, projection: &Projection) {
        let (stats, now) = (&projection.stats, Instant::now());
        self.applied.push(now, stats.events.load(Ordering::Relaxed));
        self.read.push(now, &stats.intake);
        self.visible.push(now, &stats.latency);
    }
}

/// How long a projection may take to count what it has parked: it may be applying a batch.
const PARKED_LIMIT: Duration = Duration::from_millis(250);

/// Asks a projection how many records it has parked; `None` if it does not answer now.
async fn count_parked(projection: &Projection) -> Option<u64> {
    if projection.stats.parked_keys() == 0 {
        return Some(0);
    }
    let listed = tokio::time::timeout(PARKED_LIMIT, projection.desk.list(1)).await;
    listed.ok()?.ok().map(|(_, total)| total)
}

/// Counts the rows of each table in the warehouse; `None` if that failed.
async fn count_rows(projector: &Projector) -> Option<BTreeMap<TableName, u64>> {
    let query = projector.query()?;
    let tables: Vec<_> = projector.stats(DUCKDB.0)?.tables().into_keys().collect();
    if tables.is_empty() || tables.len() > COUNTED_TABLES_MAX {
        return None;
    }
    let count = |(index, table): (usize, &TableName)| {
        let name = format!("{}_{}", table.schema, table.table).replace('"', "\"\"");
        format!("SELECT {index} AS i, count(*) AS n FROM \"{name}\"")
    };
    let counts: Vec<_> = tables.iter().enumerate().map(count).collect();
    let sql = format!("{} ORDER BY i", counts.join(" UNION ALL "));
    let found = query.query(&sql, tables.len(), LOOK_INTERVAL * 4).await.ok()?;
    let number = |row: Vec<Option<String>>| row.get(1)?.as_ref()?.parse().ok();
    let counted = tables.into_iter().zip(found.rows);
    Some(counted.filter_map(|(table, row)| Some((table, number(row)?))).collect())
}
