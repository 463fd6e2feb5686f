//! What one insert of a 200-byte row costs, from the replication stream's bytes to typed values.
//!
//! The row is one of `bench(id bigint, a int, b text, c numeric(12,2), d timestamptz, e bool)`.

use bytes::{BufMut, Bytes, BytesMut};
use cdc_source_postgres::pgoutput::{Message, State, decode};
use cdc_source_postgres::value::{RowPlan, TypeCatalog, TypePlan};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

/// Type oids and modifiers of the table's columns.
const COLUMNS: [(u32, i32); 6] =
    [(20, -1), (23, -1), (25, -1), (1700, (12 << 16 | 2) + 4), (1184, -1), (16, -1)];

fn values() -> [String; 6] {
    [
        "1234567".to_owned(),
        "42".to_owned(),
        "x".repeat(100),
        "12345.67".to_owned(),
        "2026-11-21 10:39:58.123456+00".to_owned(),
        "t".to_owned(),
    ]
}

fn insert_frame() -> Bytes {
    let mut frame = BytesMut::new();
    frame.put_u8(b'I');
    frame.put_u32(16_384);
    frame.put_u8(b'N');
    frame.put_u16(6);
    for value in values() {
        frame.put_u8(b't');
        frame.put_u32(u32::try_from(value.len()).expect("short"));
        frame.put_slice(value.as_bytes());
    }
    frame.freeze()
}

fn bench(criterion: &mut Criterion) {
    let catalog = TypeCatalog::default();
    let columns =
        COLUMNS.iter().map(|(oid, modifier)| TypePlan::compile(&catalog, *oid, *modifier));
    let plan = RowPlan::new(columns.collect());
    let frame = insert_frame();
    let line = Bytes::from(values().join("\t"));

    let mut group = criterion.benchmark_group("decode");
    group.throughput(Throughput::Elements(1));
    let mut state = State::default();
    group.bench_function("insert, columns not looked at", |bencher| {
        bencher.iter(|| decode(frame.clone(), &mut state));
    });
    group.bench_function("insert, to values", |bencher| {
        bencher.iter(|| match decode(frame.clone(), &mut state) {
            Ok(Message::Insert(insert)) => plan.row(&insert.new),
            other => unreachable!("an insert was decoded as {other:?}"),
        });
    });
    group.bench_function("copy line, to values", |bencher| {
        bencher.iter(|| plan.copied_row(&line));
    });
    for (index, (plan, value)) in plan.columns().iter().zip(values()).enumerate() {
        let value = Bytes::from(value);
        group.bench_function(format!("column {index}: {:?}", plan.column_type()), |bencher| {
            bencher.iter(|| plan.parse(&value));
        });
    }
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
