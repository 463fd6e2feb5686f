//! What one inserted row of about 200 bytes costs on its way from the replication stream's bytes
//! to an Avro record, and back to a change event. The control is the same leg again.

use std::sync::Arc;

use anyhow::{Context, bail, ensure};
use bytes::{BufMut, Bytes, BytesMut};
use cdc_codec::{CodecConfig, Decoder, Encoder};
use cdc_model::{
    ChangeEvent, LogRecord, Lsn, Offset, Op, Origin, Partition, Record, TableSchema, Timestamp,
    TopicPartition, Transaction,
};
use cdc_pipeline::port::{Decode, DecodeError, Decoded, Encode};
use cdc_registry::Registry;
use cdc_source_postgres::pgoutput::{Message, State, decode};
use cdc_source_postgres::value::{RowPlan, TypeCatalog, TypePlan};
use tokio::time::Instant;

use crate::capture::per_row;
use crate::process;
use crate::report::{Report, Run};
use crate::rows;

/// How much to do.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Rows of each leg.
    #[arg(long, default_value_t = 2_000_000)]
    rows: u64,
    /// How often to repeat.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
}

const COST: &str = "µs/row";
const WHOLE: &str = "pgoutput to Avro";

/// Distinct rows, used over and over, in pieces as large as a batch.
const FRAMES: usize = 5_000;

/// Type oids and modifiers of the table's columns.
const COLUMNS: [(u32, i32); 6] =
    [(20, -1), (23, -1), (25, -1), (1700, (12 << 16 | 2) + 4), (1184, -1), (16, -1)];

/// What the legs work with.
struct Bench {
    frames: Vec<Bytes>,
    plan: RowPlan,
    table: Arc<TableSchema>,
    transaction: Arc<Transaction>,
    encoder: Encoder<Registry>,
    decoder: Decoder<Registry>,
    registry: Registry,
}

/// Runs the benchmark.
pub(crate) async fn run(args: &Args) -> anyhow::Result<Report> {
    let dir = tempfile::tempdir()?;
    let mut bench = Bench::new(Registry::embedded(&dir.path().join("registry"))?).await?;
    let log = bench.log().await?;
    let bytes = bench.frames.iter().map(|frame| frame.len() as u64).sum::<u64>();
    let row_bytes = bytes / FRAMES as u64;
    let title = format!("codec: an inserted row of {row_bytes} bytes");
    let mut report = Report::new(title).compared_with(WHOLE, COST);
    let passes = args.rows / FRAMES as u64;
    ensure!(passes > 0, "--rows takes at least {FRAMES}");
    for _ in 0..args.rounds {
        report.add(timed(WHOLE, passes, || bench.whole())?);
        report.add(timed("pgoutput to Avro, again", passes, || bench.whole())?);
        report.add(timed("pgoutput to values", passes, || bench.values().map(drop))?);
        let events = bench.values()?;
        report.add(timed("values to Avro", passes, || bench.encode(&events).map(drop))?);
        report.add(timed("Avro to values", passes, || bench.decode(&log))?);
    }
    Ok(report)
}

fn timed(
    leg: &str,
    passes: u64,
    mut pass: impl FnMut() -> anyhow::Result<()>,
) -> anyhow::Result<Run> {
    let (cpu, started) = (process::own_cpu()?, Instant::now());
    for _ in 0..passes {
        pass()?;
    }
    let rows = passes * FRAMES as u64;
    let cost = per_row(process::own_cpu()? - cpu, rows);
    let rate = rows as f64 / started.elapsed().as_secs_f64();
    Ok(Run::of(leg, vec![(COST, cost), ("rows/s", rate)]))
}

impl Bench {
    async fn new(registry: Registry) -> anyhow::Result<Self> {
        let catalog = TypeCatalog::default();
        let columns =
            COLUMNS.iter().map(|(oid, modifier)| TypePlan::compile(&catalog, *oid, *modifier));
        let shared = Arc::new(registry.clone());
        let mut encoder = Encoder::new(CodecConfig::new("codec", "postgres"), shared.clone());
        let table = rows::table();
        encoder.prepare(&table).await?;
        let mut stream = BytesMut::new();
        let frames = (0..FRAMES).map(|row| frame(&mut stream, row)).collect::<Result<_, _>>()?;
        Ok(Self {
            frames,
            plan: RowPlan::new(columns.collect()),
            table,
            transaction: rows::transaction(1, Timestamp(1_700_000_000_000_000)),
            encoder,
            decoder: Decoder::new(shared),
            registry,
        })
    }

    /// Reads one piece of the stream.
    fn values(&self) -> anyhow::Result<Vec<ChangeEvent>> {
        let mut state = State::default();
        let mut events = Vec::with_capacity(FRAMES);
        for (seq, frame) in (0..).zip(&self.frames) {
            let Message::Insert(insert) = decode(frame.clone(), &mut state)? else {
                bail!("an insert was decoded as something else");
            };
            let origin = Origin {
                transaction: self.transaction.clone(),
                seq,
                lsn: Lsn(seq),
                snapshot: None,
            };
            events.push(ChangeEvent {
                table: self.table.clone(),
                op: Op::Create,
                before: None,
                after: Some(self.plan.row(&insert.new)?),
                origin,
            });
        }
        Ok(events)
    }

    fn encode(&mut self, events: &[ChangeEvent]) -> anyhow::Result<Vec<Record>> {
        let mut records = Vec::with_capacity(events.len());
        for event in events {
            self.encoder.encode(event, Timestamp(1_700_000_000_000_000), &mut records)?;
        }
        Ok(records)
    }

    fn whole(&mut self) -> anyhow::Result<()> {
        let events = self.values()?;
        let records = self.encode(&events)?;
        ensure!(records.len() == FRAMES, "one record for each row");
        Ok(())
    }

    /// Returns the records as a log would, and has the decoder learn their schemas.
    async fn log(&mut self) -> anyhow::Result<Vec<LogRecord>> {
        let events = self.values()?;
        let records = self.encode(&events)?;
        let log: Vec<LogRecord> =
            (0..).zip(records).map(|(at, record)| stored(at, record)).collect();
        let first = log.first().context("records")?;
        while let Err(DecodeError::UnknownSchema(id)) = self.decoder.decode(first) {
            self.decoder.learn(id).await?;
        }
        // What is decoded is what was read from the source, up to what the envelope leaves out.
        match self.decoder.decode(first) {
            Ok(Decoded::Change(event)) => {
                let expected = events.first().and_then(|event| event.after.as_ref());
                ensure!(event.after.as_ref() == expected, "a row came back changed");
            }
            _ => bail!("a record of ours was not read"),
        }
        ensure!(self.registry.refused().is_empty(), "a schema was refused");
        Ok(log)
    }

    fn decode(&mut self, log: &[LogRecord]) -> anyhow::Result<()> {
        let mut events = Vec::with_capacity(log.len());
        for record in log {
            match self.decoder.decode(record) {
                Ok(Decoded::Change(event)) => events.push(event),
                _ => bail!("a record of ours was not read"),
            }
        }
        Ok(())
    }
}

fn stored(offset: i64, record: Record) -> LogRecord {
    let mut headers = record.headers;
    if let Some(id) = record.id {
        let value = Bytes::from(format!("bench:{id}"));
        headers.push(cdc_model::Header { name: Record::ID_HEADER.into(), value });
    }
    LogRecord {
        source: TopicPartition { topic: record.topic, partition: Partition(0) },
        offset: Offset(offset),
        timestamp_ms: 0,
        key: record.key,
        value: record.value,
        headers,
    }
}

/// Appends an Insert message to the stream and cuts it off, sharing the stream's memory.
fn frame(stream: &mut BytesMut, row: usize) -> anyhow::Result<Bytes> {
    let values = [
        format!("{}", 1_000_000 + row),
        format!("{}", row % 1_000),
        format!("{row:x<100}"),
        format!("{row}.25"),
        "2026-11-21 10:39:58.123456+00".to_owned(),
        "t".to_owned(),
    ];
    stream.put_u8(b'I');
    stream.put_u32(16_384);
    stream.put_u8(b'N');
    stream.put_u16(6);
    for value in values {
        stream.put_u8(b't');
        stream.put_u32(u32::try_from(value.len())?);
        stream.put_slice(value.as_bytes());
    }
    Ok(stream.split().freeze())
}
