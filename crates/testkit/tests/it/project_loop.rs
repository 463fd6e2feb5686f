//! What the project loop remembers of parked keys and of coverage across errors.

use std::sync::Arc;
use std::time::Duration;

use cdc_model::{ChangeEvent, TableSchema, Timestamp, Value};
use cdc_pipeline::port::{AppendBatch, Encode, LogWriter};
use cdc_pipeline::project::{DeskQueue, Project, ProjectConfig, Selection, desk};
use cdc_pipeline::retry::Halted;
use cdc_pipeline::stats::LoopStats;
use cdc_pipeline::{Clock, ErrorClass, Hold};
use testkit::fault::{Fault, Faults, Faulty};
use testkit::fixture;
use testkit::memory::codec::MemoryDecoder;
use testkit::memory::{
    MemoryCodec, MemoryGroup, MemoryLog, MemoryMember, MemoryReader, MemorySink, MemoryStore,
    MemoryWriter,
};
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
        self.project_with(Hold::default(), DeskQueue::default()).await
    }

    async fn project_with(&self, hold: Hold, desk: DeskQueue) -> Result<(), Halted> {
        self.projection("dead-letters", hold, desk).run(CancellationToken::new()).await
    }

    /// One of several replicas, in the seat `member`.
    async fn replica(&self, name: &str, member: MemoryMember) -> Result<(), Halted> {
        let project = self.projection(name, Hold::default(), DeskQueue::default());
        project.run_shared(member, CancellationToken::new()).await
    }

    fn projection(
        &self,
        dead_letters: &str,
        hold: Hold,
        desk: DeskQueue,
    ) -> Project<MemoryReader, MemoryDecoder, Faulty<MemorySink>, MemoryWriter> {
        Project {
            reader: self.log.reader(),
            decoder: self.codec.decoder(),
            sink: Faulty::new(self.store.sink(), self.faults.clone()),
            dead_letters: self.log.writer(dead_letters),
            config: ProjectConfig::new("test", |_| true),
            clock: Clock::new(|| Timestamp(0)),
            stats: Arc::new(LoopStats::default()),
            hold,
            desk,
        }
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

#[tokio::test]
async fn parked_records_are_replayed_in_order_and_their_key_flows_again() {
    // GIVEN a key with a poisoned record, one that follows it, and another poisoned key
    let bench = Bench::new(1, []);
    bench.store.refuse(Some(Value::text("bad")));
    let t = fixture::table("t");
    let insert = |lsn, id, v: &str| fixture::insert(&t, fixture::origin(lsn, 0), id, v);
    let update =
        |lsn, id, v: &str| fixture::update(&t, fixture::origin(lsn, 0), fixture::row(id, v));
    let (window, queue) = desk();
    let play = async {
        let events = [insert(16, 1, "bad"), update(32, 1, "follows"), insert(48, 2, "bad")];
        bench.append(&[&t], &events).await;
        bench.until(|store| store.parked().len() == 3).await;
        let (parked, count) = window.list(2).await.unwrap();
        assert_eq!((parked.len(), count), (2, 3));
        // WHEN they are replayed while they still cannot be applied
        let settled = window.replay(Selection::All).await.unwrap();
        // THEN each key stays whole
        let refused: Vec<i64> = settled.refused.iter().map(|r| r.record.offset.0).collect();
        assert_eq!((settled.settled, refused), (0, vec![0, 2]));
        // WHEN one is chosen after its cause is gone, and later changes come meanwhile
        bench.store.refuse(None);
        let place = |at: usize| (parked[at].record.source.clone(), parked[at].record.offset);
        let chosen = Selection::Records([place(1)].into());
        let settled = window.replay(chosen.clone()).await.unwrap();
        assert_eq!((settled.settled, settled.refused.len()), (2, 0));
        // THEN all of its key is applied in order, once, and the key flows
        assert_eq!(window.replay(chosen).await.unwrap().settled, 0);
        bench.append(&[&t], &[update(64, 1, "newest"), update(80, 2, "waits")]).await;
        bench.until(|store| store.offsets().values().any(|next| next.0 == 5)).await;
        assert_eq!(window.list(9).await.unwrap().1, 2, "the other key still waits");
        let settled = window.discard(Selection::All).await.unwrap();
        assert_eq!(settled.settled, 2);
        bench.append(&[&t], &[insert(96, 2, "new")]).await;
        bench.until(|store| store.offsets().values().any(|next| next.0 == 6)).await;
    };
    tokio::select! {
        () = play => {}
        halted = bench.project_with(Hold::default(), queue) => panic!("{halted:?}"),
    }
    let rows: Vec<String> =
        bench.store.rows().values().flatten().map(|row| format!("{:?}", row["v"])).collect();
    assert_eq!(rows.len(), 2, "{rows:?}");
    assert!(rows[0].contains("newest") && rows[1].contains("new"), "{rows:?}");
}

#[tokio::test]
async fn a_paused_projection_applies_what_it_read_and_waits_with_its_desk_open() {
    let bench = Bench::new(1, []);
    let t = fixture::table("t");
    let (hold, (window, queue)) = (Hold::default(), desk());
    let play = async {
        let row = |lsn| fixture::insert(&t, fixture::origin(lsn, 0), 1, "v");
        bench.append(&[&t], &[row(16)]).await;
        bench.until(|store| store.applied() == 1).await;
        hold.pause();
        // The desk answers from within the pause, or before it begins: either way the loop lives.
        for _ in 0..3 {
            assert_eq!(window.list(1).await.unwrap().1, 0);
        }
        bench.append(&[&t], &[row(32)]).await;
        for _ in 0..1_000 {
            tokio::task::yield_now().await;
        }
        assert_eq!(bench.store.applied(), 1, "nothing is applied while it is held");
        hold.resume();
        bench.until(|store| store.applied() == 2).await;
    };
    tokio::select! {
        () = play => {}
        halted = bench.project_with(hold.clone(), queue) => panic!("{halted:?}"),
    }
}

#[tokio::test]
async fn an_exclusive_sink_is_not_dealt_out() {
    let bench = Bench::new(3, []);
    let group = MemoryGroup::new(&bench.log, 0);
    let halted = bench.replica("a", group.member(0, true)).await.unwrap_err();
    assert_eq!(halted.code, "SINK_EXCLUSIVE", "{halted:?}");
}

#[tokio::test]
async fn a_shared_sink_alone_is_its_only_owners() {
    let bench = Bench { store: MemoryStore::shared(), ..Bench::new(3, []) };
    let t = fixture::table("t");
    let rows: Vec<_> =
        (0..30).map(|id| fixture::insert(&t, fixture::origin(16, 0), id, "v")).collect();
    let play = async {
        bench.append(&[&t], &rows).await;
        bench.until(|store| store.applied() == 30).await;
    };
    tokio::select! {
        () = play => {}
        halted = bench.project() => panic!("{halted:?}"),
    }
    assert_eq!(bench.store.fenced(), 0);
}

/// That a replica reads one partition of a topic does not mean that the topic has one.
#[tokio::test]
async fn a_key_change_halts_also_where_the_share_is_one_partition() {
    let bench = Bench { store: MemoryStore::shared(), ..Bench::new(2, []) };
    let (group, t) = (MemoryGroup::new(&bench.log, 7), fixture::table("t"));
    let row = |id| fixture::insert(&t, fixture::origin(16, 0), id, "v");
    bench.append(&[&t], &(0..20).map(row).collect::<Vec<_>>()).await;
    let moved = |id| {
        let mut moved = fixture::update(&t, fixture::origin(64, 0), fixture::row(2, "v"));
        moved.before = Some(fixture::key_image(id));
        moved.after = Some(vec![Value::Int64(100 + id), Value::Unchanged].into_iter().collect());
        moved
    };
    let play = async {
        bench.until(|store| store.applied() == 20).await;
        group.rebalance();
        while !group.is_even() {
            tokio::task::yield_now().await;
            group.rebalance();
        }
        bench.append(&[&t], &(0..20).map(moved).collect::<Vec<_>>()).await;
        std::future::pending::<()>().await;
    };
    group.rebalance();
    let (a, b) = tokio::select! {
        () = play => unreachable!(),
        both = async { tokio::join!(
            bench.replica("a", group.member(0, true)),
            bench.replica("b", group.member(1, true)),
        ) } => both,
    };
    for halted in [a, b] {
        assert_eq!(halted.unwrap_err().code, "KEY_CHANGE_WITHOUT_ROW");
    }
}

/// What one replica parked, the next one follows, and settles.
#[tokio::test]
async fn parked_keys_are_found_by_the_next_owner() {
    let bench = Bench { store: MemoryStore::shared(), ..Bench::new(1, []) };
    bench.store.refuse(Some(Value::text("bad")));
    let (group, t) = (MemoryGroup::new(&bench.log, 0), fixture::table("t"));
    let at = |lsn| fixture::origin(lsn, 0);
    bench.append(&[&t], &[fixture::insert(&t, at(16), 1, "bad")]).await;
    group.rebalance();
    let first = async { bench.until(|store| store.parked().len() == 1).await };
    tokio::select! {
        () = first => {}
        halted = bench.replica("a", group.member(0, true)) => panic!("{halted:?}"),
    }
    let (window, queue) = desk();
    let play = async {
        bench.append(&[&t], &[fixture::update(&t, at(32), fixture::row(1, "follows"))]).await;
        bench.until(|store| store.parked().len() == 2).await;
        bench.store.refuse(None);
        assert_eq!(window.replay(Selection::All).await.unwrap().settled, 2);
        bench.append(&[&t], &[fixture::update(&t, at(48), fixture::row(1, "newest"))]).await;
        bench.until(|store| store.offsets().values().any(|next| next.0 == 3)).await;
    };
    let second = bench.projection("b", Hold::default(), queue);
    tokio::select! {
        () = play => {}
        halted = second.run_shared(group.member(1, true), CancellationToken::new()) => {
            panic!("{halted:?}")
        }
    }
    let rows: Vec<_> = bench.store.rows().into_values().flatten().collect();
    assert_eq!(rows.len(), 1);
    assert!(format!("{:?}", rows[0]["v"]).contains("newest"), "{rows:?}");
}

/// The sink's fence is for those that do not know; who is told lets go first.
#[tokio::test]
async fn an_orderly_handover_is_fenced_nowhere() {
    let bench = Bench { store: MemoryStore::shared(), ..Bench::new(6, []) };
    let (group, t) = (MemoryGroup::new(&bench.log, 3), fixture::table("t"));
    let seats =
        ["a", "b", "c"].map(|name| bench.projection(name, Hold::default(), DeskQueue::default()));
    let stats = seats.each_ref().map(|project| project.stats.clone());
    let play = async {
        for round in 0_i64..50 {
            let row = |id| fixture::insert(&t, fixture::origin(16, 0), round * 12 + id, "v");
            bench.append(&[&t], &(0..12).map(row).collect::<Vec<_>>()).await;
            group.rebalance();
            bench.until(|store| store.applied() >= u64::try_from(round * 12).unwrap()).await;
        }
        bench.until(|store| store.applied() == 600).await;
        // Each tells its share, and together they have all.
        let held = || stats.iter().map(|stats| stats.partitions().held).sum::<usize>();
        bench.until(|_| held() == 6).await;
        assert!(stats.iter().all(|stats| stats.partitions().total == 6));
    };
    let [a, b, c] = seats;
    let rest = CancellationToken::new();
    let replicas = async {
        tokio::join!(
            a.run_shared(group.member(0, true), rest.clone()),
            b.run_shared(group.member(1, true), rest.clone()),
            c.run_shared(group.member(2, true), rest.clone()),
        )
    };
    tokio::select! {
        () = play => {}
        halted = replicas => panic!("{halted:?}"),
    }
    assert_eq!(bench.store.fenced(), 0);
    assert!(group.dealt() > 100, "partitions changed hands {} times", group.dealt());
}
