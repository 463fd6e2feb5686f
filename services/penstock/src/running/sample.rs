//! Figures that need a look now and then: rates, rows in the projection, topics.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cdc_model::TableName;
use cdc_pipeline::port::{LogReader, TopicMeta};
use tokio::time::Instant;

use crate::pipeline::Pipeline;

/// How often it looks.
const INTERVAL: Duration = Duration::from_millis(500);

/// Rates are means over this long.
const WINDOW: Duration = Duration::from_secs(5);

/// Tables whose rows are counted; with more, counting would cost more than it tells.
const COUNTED_TABLES_MAX: usize = 50;

/// Looks at a pipeline every half second.
#[derive(Debug)]
pub struct Sampler {
    pipeline: Arc<Pipeline>,
    sample: Mutex<Sample>,
}

/// What was seen last.
#[derive(Debug, Clone, Default)]
pub(super) struct Sample {
    pub(super) captured: Rate,
    pub(super) applied: Rate,
    pub(super) snapshot: BTreeMap<TableName, Rate>,
    pub(super) rows: BTreeMap<TableName, u64>,
    pub(super) topics: Vec<TopicMeta>,
}

/// A counter's growth per second.
#[derive(Debug, Clone, Default)]
pub(super) struct Rate(VecDeque<(Instant, u64)>);

impl Rate {
    fn push(&mut self, now: Instant, count: u64) {
        self.0.push_back((now, count));
        while self.0.front().is_some_and(|(at, _)| now.duration_since(*at) > WINDOW) {
            self.0.pop_front();
        }
    }

    /// Returns the mean over the window; 0 with fewer than two looks.
    #[expect(clippy::cast_precision_loss, reason = "a rate to be shown")]
    pub(super) fn per_second(&self) -> f64 {
        let (Some((since, first)), Some((until, last))) = (self.0.front(), self.0.back()) else {
            return 0.0;
        };
        let elapsed = until.duration_since(*since).as_secs_f64();
        if elapsed > 0.0 { last.saturating_sub(*first) as f64 / elapsed } else { 0.0 }
    }
}

impl Sampler {
    pub(super) fn new(pipeline: Arc<Pipeline>) -> Self {
        Self { pipeline, sample: Mutex::default() }
    }

    /// Looks again and again.
    pub(super) async fn run(&self) {
        let mut reader = self.pipeline.log().reader();
        loop {
            let rows = self.count_rows().await;
            let topics = reader.topics().await;
            self.note_rates(Instant::now());
            {
                let mut sample = self.lock();
                sample.rows = rows.unwrap_or_default();
                match topics {
                    Ok(topics) => sample.topics = topics,
                    Err(error) => tracing::debug!(error = %error, "topics are not listed"),
                }
            }
            tokio::time::sleep(INTERVAL).await;
        }
    }

    /// Returns what was seen last.
    pub(super) fn last(&self) -> Sample {
        self.lock().clone()
    }

    fn note_rates(&self, now: Instant) {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let mut sample = self.lock();
        sample.captured.push(now, load(&self.pipeline.capture_stats().events));
        sample.applied.push(now, load(&self.pipeline.project_stats().events));
        for (table, status) in self.pipeline.source_status().tables {
            sample.snapshot.entry(table).or_default().push(now, status.snapshot_rows);
        }
    }

    /// Counts the rows of each table in the projection; `None` if that failed.
    async fn count_rows(&self) -> Option<BTreeMap<TableName, u64>> {
        let tables: Vec<_> = self.pipeline.project_stats().tables().into_keys().collect();
        if tables.is_empty() || tables.len() > COUNTED_TABLES_MAX {
            return None;
        }
        let count = |(index, table): (usize, &TableName)| {
            let name = format!("{}_{}", table.schema, table.table).replace('"', "\"\"");
            format!("SELECT {index} AS i, count(*) AS n FROM \"{name}\"")
        };
        let counts: Vec<_> = tables.iter().enumerate().map(count).collect();
        let sql = format!("{} ORDER BY i", counts.join(" UNION ALL "));
        let found = self.pipeline.query().query(&sql, tables.len(), INTERVAL * 4).await.ok()?;
        let number = |row: Vec<Option<String>>| row.get(1)?.as_ref()?.parse().ok();
        let counted = tables.into_iter().zip(found.rows);
        Some(counted.filter_map(|(table, row)| Some((table, number(row)?))).collect())
    }

    fn lock(&self) -> MutexGuard<'_, Sample> {
        self.sample.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
