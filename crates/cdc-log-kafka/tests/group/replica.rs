//! What a replica's process does: runs the project loop until its input ends.

use std::convert::Infallible;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use cdc_log_kafka::KafkaLog;
use cdc_model::{LogRecord, Timestamp, Topic};
use cdc_pipeline::port::{Decode, DecodeError, Decoded, SchemaId};
use cdc_pipeline::project::{DeskQueue, Project, ProjectConfig};
use cdc_pipeline::stats::LoopStats;
use cdc_pipeline::{Clock, Hold};
use testkit::fixture::{insert, origin, table};
use tokio_util::sync::CancellationToken;

use crate::store::{Store, StoreSink};
use crate::{GROUP, PREFIX, config, report};

/// Takes a record's value as a row's text.
struct Plain;

impl Decode for Plain {
    type Error = Infallible;

    fn decode(&mut self, record: &LogRecord) -> Result<Decoded, DecodeError<Infallible>> {
        let text =
            String::from_utf8_lossy(record.value.as_deref().unwrap_or_default()).into_owned();
        Ok(Decoded::Change(insert(&table("t"), origin(1, 0), record.offset.0, text)))
    }

    async fn learn(&mut self, _: SchemaId) -> Result<(), Infallible> {
        Ok(())
    }
}

/// Runs replica `name`; one whose name begins with `fixed` has a seat of its own.
pub(crate) async fn run(servers: &str, dir: &Path, name: &str) {
    let log = KafkaLog::new(config(servers)).expect("settings");
    let member = log.member(GROUP, name.starts_with("fixed").then_some(name), PREFIX);
    let stats = Arc::new(LoopStats::default());
    let project = Project {
        reader: log.reader(),
        decoder: Plain,
        sink: StoreSink { store: Store::new(dir), name: name.to_owned(), epoch: 0 },
        dead_letters: log.writer(&format!("{name}-dlq"), "s"),
        config: ProjectConfig::new(name, |topic: &Topic| topic.as_str().starts_with(PREFIX)),
        clock: Clock::new(|| Timestamp(0)),
        stats: stats.clone(),
        hold: Hold::default(),
        desk: DeskQueue::default(),
    };
    let shutdown = CancellationToken::new();
    let leave = shutdown.clone();
    std::thread::spawn(move || {
        std::io::stdin().read_to_end(&mut Vec::new()).expect("reads");
        leave.cancel();
    });
    report("started");
    let outcome = project.run_shared(member, shutdown).await;
    report(&format!("ended {outcome:?}, {} retries", stats.retries.load(Ordering::Relaxed)));
}
