//! What the project loop remembers of parked keys and of coverage across errors.

use std::sync::Arc;
use std::time::Duration;

use cdc_model::{ChangeEvent, TableSchema, Timestamp, Value};
use cdc_pipeline::port::{AppendBatch, Encode, LogWriter};
use cdc_pipeline::project::{Project, ProjectConfig};
use cdc_pipeline::retry::Halted;
use cdc_pipeline::stats::LoopStats;
use cdc_pipeline::{Clock, ErrorClass};
use testkit::fault::{Fault, Faults, Faulty};
use testkit::fixture;
use testkit::memory::{MemoryCodec, MemoryLog, MemoryStore};
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// A log, a store, and what is between them.
struct Bench {
    log: MemoryLog,
    codec: MemoryCodec,
    store: MemoryStore,
    faults: Faults,
}

impl Bench {
    fn new(partitions: usize, faults: impl IntoIterator<Item = Fault>) -> Self {
        Self {
            log: MemoryLog::new(partitions),
            codec: MemoryCodec::default(),
            store: MemoryStore::default(),
            faults: Faults::script(faults),
        }
    }

    async fn append(&self, tables: &[&Arc<TableSchema>], events: &[ChangeEvent]) {
        let mut encoder = self.codec.encoder();
        for table in tables {
            encoder.prepare(table).await.expect("prepares");
        }
        let mut records = Vec::new();
        for event in events {
            encoder.encode(event, Timestamp(0), &mut records).expect("encodes");
        }
        let mut writer = self.log.writer("test");
        writer.open().await.expect("opens");
        writer.append(AppendBatch { records, update: None }.into()).await.expect("appends");
    }

    async fn project(&self) -> Result<(), Halted> {
        let project = Project {
            reader: self.log.reader(),
            decoder: self.codec.decoder(),
            sink: Faulty::new(self.store.sink(), self.faults.clone()),
            dead_letters: self.log.writer("dead-letters"),
            config: ProjectConfig::new("test", |_| true),
            clock: Clock::new(|| Timestamp(0)),
            stats: Arc::new(LoopStats::default()),
            hold: cdc_pipeline::Hold::default(),
            desk: cdc_pipeline::project::DeskQueue::default(),
        };
        project.run(CancellationToken::new()).await
    }

    /// Waits until the store is as `is_reached` says.
    async fn until(&self, is_reached: impl Fn(&MemoryStore) -> bool) {
        let reached = async {
            while !is_reached(&self.store) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), reached).await.expect("never reached");
    }
}

#[tokio::test]
async fn a_key_freed_by_a_truncate_stays_free_when_the_truncates_answer_is_an_error() {
    // GIVEN a sink that fails on the batch that holds the truncate
    let (ok, no) = (|| Fault::None, Fault::Reject(ErrorClass::Transient));
    let bench = Bench::new(1, [ok(), ok(), ok(), ok(), no]);
    bench.store.refuse(Some(Value::text("bad")));
    let t = fixture::table("t");
    let play = async {
        // AND a key that is parked
        bench.append(&[&t], &[fixture::insert(&t, fixture::origin(16, 0), 1, "bad")]).await;
        bench.until(|store| store.parked().len() == 1).await;
        // WHEN the table is truncated, and later the key comes again
        bench.append(&[&t], &[fixture::truncate(&t, fixture::origin(32, 0))]).await;
        bench.until(|store| store.parked().is_empty()).await;
        bench.append(&[&t], &[fixture::insert(&t, fixture::origin(48, 0), 1, "good")]).await;
        let end = |store: &MemoryStore| store.offsets().values().any(|next| next.0 == 3);
        bench.until(end).await;
    };
    tokio::select! {
        () = play => {}
        halted = bench.project() => panic!("{halted:?}"),
    }
    // THEN it is a row again
    bench.faults.assert_used();
    assert_eq!(bench.store.parked(), []);
    assert_eq!(bench.store.rows().len(), 1);
}

#[tokio::test]
async fn a_halt_on_a_parted_key_change_applies_nothing_that_is_not_covered() {
    // GIVEN a log of two partitions, and a sink that is busy
    let gate = Arc::new(Semaphore::new(0));
    let bench = Bench::new(2, [Fault::None, Fault::Hold(gate.clone())]);
    let keyless = Arc::new(TableSchema { key: vec![], ..(*fixture::table("a")).clone() });
    let keyed = fixture::table("b");
    let row = |lsn| fixture::insert(&keyless, fixture::origin(lsn, 0), 1, "v");
    let mut moved = fixture::update(&keyed, fixture::origin(64, 0), fixture::row(2, "v"));
    moved.before = Some(fixture::key_image(1));
    moved.after = Some(vec![Value::Int64(2), Value::Unchanged].into_iter().collect());
    let first = fixture::insert(&keyed, fixture::origin(16, 1), 1, "v");
    bench.append(&[&keyless, &keyed], &[row(16), first]).await;
    let play = async {
        // WHEN rows are read ahead, and with the last of them a key change that cannot be applied
        for events in [vec![row(32)], vec![row(48), moved]] {
            let begun = Instant::now();
            while begun.elapsed() < Duration::from_millis(300) {
                tokio::task::yield_now().await;
            }
            bench.append(&[&keyless, &keyed], &events).await;
        }
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        gate.add_permits(1);
        std::future::pending::<()>().await;
    };
    let halted = tokio::select! {
        () = play => unreachable!(),
        halted = bench.project() => halted.unwrap_err(),
    };
    assert_eq!(halted.code, "KEY_CHANGE_WITHOUT_ROW", "{halted:?}");
    bench.project().await.unwrap_err();
    // THEN no row is there twice, however often the projection is started
    let rows = bench.store.rows().values().map(Vec::len).sum::<usize>();
    let covered = bench.store.offsets().values().map(|next| next.0).sum::<i64>();
    assert_eq!(i64::try_from(rows).unwrap(), covered);
}
