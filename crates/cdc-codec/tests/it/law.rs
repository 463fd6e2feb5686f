//! The laws: decoding what was encoded gives the event back, in every format; no bytes make the
//! decoder panic.

use std::sync::Arc;

use bytes::Bytes;
use cdc_codec::Format;
use cdc_model::{
    Array, ChangeEvent, Column, ColumnType, Date, Decimal, DefaultValue, ImageKind, Interval, Lsn,
    Op, Origin, ReplicaIdentity, Row, RowImage, SnapshotMark, SnapshotRow, TableId, TableName,
    TableSchema, Text, Time, TimeTz, Timestamp, Transaction, Value,
};
use cdc_pipeline::port::Decoded;
use proptest::prelude::*;

use crate::harness::{Bench, Item, decode, logged};

const DAY: i64 = 86_400_000_000;

fn scalar_type() -> impl Strategy<Value = ColumnType> {
    let digits = 0_u8..=6;
    prop_oneof![
        Just(ColumnType::Bool),
        Just(ColumnType::Int16),
        Just(ColumnType::Int32),
        Just(ColumnType::Int64),
        Just(ColumnType::Float32),
        Just(ColumnType::Float64),
        (1_u16..40, -3_i16..12).prop_map(|shape| ColumnType::Decimal(Some(shape))),
        Just(ColumnType::Decimal(None)),
        Just(ColumnType::Text),
        Just(ColumnType::Varchar(Some(5))),
        Just(ColumnType::Bytes),
        Just(ColumnType::Date),
        digits.clone().prop_map(ColumnType::Time),
        digits.clone().prop_map(ColumnType::TimeTz),
        digits.clone().prop_map(ColumnType::Timestamp),
        digits.prop_map(ColumnType::TimestampTz),
        Just(ColumnType::Interval),
        Just(ColumnType::Uuid),
        Just(ColumnType::Json),
        Just(ColumnType::Enum {
            name: "public.mood".into(),
            labels: ["a".into(), "b".into()].into()
        }),
        Just(ColumnType::Other { name: "pg_catalog.inet".into() }),
        Just(ColumnType::Other { name: "public.comp".into() }),
        Just(ColumnType::Other { name: "pg_catalog.point".into() }),
    ]
}

fn column_type() -> impl Strategy<Value = ColumnType> {
    let array = scalar_type().prop_map(|item| ColumnType::Array(Box::new(item)));
    prop_oneof![4 => scalar_type(), 1 => array]
}

fn micros() -> impl Strategy<Value = i64> {
    prop_oneof![
        any::<i64>(),
        -9_000_000_000_000_i64..9_000_000_000_000,
        Just(i64::MAX),
        Just(i64::MIN),
        Just(0)
    ]
}

/// A value of a type: any that a source could give, with what the wire cannot hold.
fn value(ty: &ColumnType) -> BoxedStrategy<Value> {
    let text = any::<String>().prop_map(Value::text);
    match ty {
        ColumnType::Bool => any::<bool>().prop_map(Value::Bool).boxed(),
        ColumnType::Int16 => any::<i16>().prop_map(Value::Int16).boxed(),
        ColumnType::Int32 => any::<i32>().prop_map(Value::Int32).boxed(),
        ColumnType::Int64 => any::<i64>().prop_map(Value::Int64).boxed(),
        ColumnType::Float32 => any::<u32>().prop_map(|b| Value::Float32(f32::from_bits(b))).boxed(),
        ColumnType::Float64 => any::<u64>().prop_map(|b| Value::Float64(f64::from_bits(b))).boxed(),
        ColumnType::Decimal(_) => decimal().boxed(),
        ColumnType::Bytes => any::<Vec<u8>>().prop_map(|b| Value::Bytes(b.into())).boxed(),
        ColumnType::Date => any::<i32>().prop_map(|d| Value::Date(Date(d))).boxed(),
        ColumnType::Time(_) => (0..=DAY).prop_map(|t| Value::Time(Time(t))).boxed(),
        ColumnType::TimeTz(_) => (0..=DAY, prop_oneof![Just(0), -57_599..=57_599])
            .prop_map(|(time, offset_seconds)| {
                Value::TimeTz(TimeTz { time: Time(time), offset_seconds })
            })
            .boxed(),
        ColumnType::Timestamp(_) => micros().prop_map(|m| Value::Timestamp(Timestamp(m))).boxed(),
        ColumnType::TimestampTz(_) => {
            micros().prop_map(|m| Value::TimestampTz(Timestamp(m))).boxed()
        }
        ColumnType::Interval => (any::<i32>(), any::<i32>(), any::<i64>(), any::<bool>())
            .prop_map(|(months, days, micros, plain)| {
                let keep = |n: i32| if plain { 0 } else { n };
                Value::Interval(Interval { months: keep(months), days: keep(days), micros })
            })
            .boxed(),
        ColumnType::Uuid => any::<[u8; 16]>().prop_map(Value::Uuid).boxed(),
        ColumnType::Array(item) => {
            let element = prop_oneof![4 => value(item), 1 => Just(Value::Null)];
            let exact = prop_oneof![4 => Just(None), 1 => any::<String>().prop_map(|s| Some(Text::from(s)))];
            (prop::collection::vec(element, 0..4), exact)
                .prop_map(|(elements, exact)| {
                    Value::Array(Array { elements: elements.into(), exact })
                })
                .boxed()
        }
        _ => text.boxed(),
    }
}

fn decimal() -> impl Strategy<Value = Value> {
    prop_oneof![
        8 => "-?[0-9]{1,45}(\\.[0-9]{1,14})?",
        1 => Just("NaN".to_owned()),
        1 => Just("Infinity".to_owned()),
        1 => Just("-Infinity".to_owned()),
    ]
    .prop_map(|text| Value::Decimal(Decimal::parse(Text::from(text)).unwrap()))
}

fn default() -> impl Strategy<Value = Option<DefaultValue>> {
    prop_oneof![
        3 => Just(None),
        1 => Just(Some(DefaultValue::Expression)),
        1 => "[0-9a-f]{1,4}|\\\\x00|t|0|2020-02-02".prop_map(|text| Some(DefaultValue::Literal(text.into()))),
    ]
}

fn column() -> impl Strategy<Value = (ColumnType, bool, Option<DefaultValue>)> {
    (column_type(), any::<bool>(), default())
}

fn schema() -> impl Strategy<Value = Arc<TableSchema>> {
    (prop::collection::vec(column(), 1..6), any::<bool>(), "[a-z]{1,3}|[ -~]{1,6}").prop_map(
        |(columns, has_key, table)| {
            let mut all = vec![Column::new("id", ColumnType::Int64).not_null()];
            for (index, (ty, is_nullable, default)) in columns.into_iter().enumerate() {
                let name =
                    if index % 2 == 0 { format!("c{index}") } else { format!("ü \"{index}") };
                let missing = (index == 1).then(|| "it's \"5\"".into());
                all.push(Column { name: name.into(), ty, is_nullable, default, missing });
            }
            Arc::new(TableSchema {
                id: TableId(5),
                name: TableName::new("public", table),
                columns: all,
                key: if has_key { vec![0] } else { Vec::new() },
                replica_identity: ReplicaIdentity::Default,
            })
        },
    )
}

/// A row; the key's column is never null or unchanged.
fn row(table: &TableSchema, unchanged: bool) -> BoxedStrategy<Row> {
    let cells = table.columns.iter().enumerate().map(|(index, column)| {
        let weight = u32::from(index > 0);
        prop_oneof![
            6 => value(&column.ty),
            weight => Just(Value::Null),
            weight * u32::from(unchanged) => Just(Value::Unchanged),
        ]
        .boxed()
    });
    cells.collect::<Vec<_>>().prop_map(Row::new).boxed()
}

fn origin() -> impl Strategy<Value = (Origin, SnapshotRow)> {
    let lsn = || (0..=u64::MAX >> 1).prop_map(Lsn);
    (any::<u32>(), lsn(), prop::option::of(lsn()), any::<i64>(), any::<u64>(), lsn(), any::<u32>())
        .prop_map(|(id, commit_lsn, previous_commit_lsn, micros, seq, lsn, row)| {
            let committed_at = Timestamp(micros >> 12);
            let id = u64::from(id);
            let transaction = Transaction { id, commit_lsn, previous_commit_lsn, committed_at };
            let mark = SnapshotMark::Inside;
            let at = SnapshotRow { snapshot: commit_lsn, chunk: row % 7, row, mark };
            (Origin { transaction: Arc::new(transaction), seq, lsn, snapshot: None }, at)
        })
}

fn event() -> impl Strategy<Value = ChangeEvent> {
    (schema(), origin(), 0_usize..6, any::<bool>()).prop_flat_map(
        |(table, (origin, at), op, full)| {
            let rows = (row(&table, false), row(&table, op == 1 || op == 4));
            rows.prop_map(move |(before, after)| {
                let (op, has_before, has_after): (Op, bool, bool) = [
                    (Op::Create, false, true),
                    (Op::Update, true, true),
                    (Op::Delete, true, false),
                    (Op::Read, false, true),
                    (Op::Update, false, true),
                    (Op::Truncate, false, false),
                ][op];
                let mut origin = origin.clone();
                if op == Op::Read {
                    origin.snapshot = Some(at);
                    origin.seq = 0;
                }
                let kind = if full || !table.has_key() { ImageKind::Full } else { ImageKind::Key };
                let known = |index: usize| kind == ImageKind::Full || table.key.contains(&index);
                let before: Row = before
                    .iter()
                    .enumerate()
                    .map(|(index, value)| if known(index) { value.clone() } else { Value::Null })
                    .collect();
                ChangeEvent {
                    table: table.clone(),
                    op,
                    before: has_before.then_some(RowImage { row: before, kind }),
                    after: has_after.then_some(after),
                    origin,
                }
            })
        },
    )
}

/// What the records of `event` say when read back.
fn expected(event: &ChangeEvent) -> Vec<ChangeEvent> {
    let moved = match (&event.before, &event.after) {
        (Some(before), Some(after)) if event.op == Op::Update => {
            event.table.key.iter().any(|key| before.row[*key] != after[*key])
        }
        _ => false,
    };
    if !moved {
        return vec![event.clone()];
    }
    let mut create = ChangeEvent { op: Op::Create, before: None, ..event.clone() };
    if let (Some(before), Some(after)) = (&event.before, &mut create.after) {
        // A whole old row tells what the new one was not sent.
        let values = before.row.iter().zip(after.iter()).map(|(old, new)| match new {
            Value::Unchanged if before.kind == ImageKind::Full => old.clone(),
            new => new.clone(),
        });
        *after = values.collect();
        if after.has_unchanged() {
            let key = |index: usize| {
                if event.table.key.contains(&index) {
                    before.row[index].clone()
                } else {
                    Value::Null
                }
            };
            let row = (0..before.row.len()).map(key).collect();
            create.before = Some(RowImage { row, kind: ImageKind::Key });
        }
    }
    vec![ChangeEvent { op: Op::Delete, after: None, ..event.clone() }, create]
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().build().unwrap()
}

fn assert_same(read: &ChangeEvent, written: &ChangeEvent) {
    assert_eq!(read.op, written.op);
    assert_eq!(read.before, written.before);
    assert_eq!(read.after, written.after);
    assert_eq!(read.origin, written.origin);
    assert_eq!(read.table.name, written.table.name);
    for (read, written) in read.table.columns.iter().zip(&written.table.columns) {
        assert_eq!(read.name, written.name);
        assert_eq!(read.is_nullable, written.is_nullable);
        assert_eq!(read.missing, written.missing);
        match (&read.default, &written.default) {
            // Spelled as the server spells it after a round trip through the value.
            (Some(DefaultValue::Literal(a)), Some(DefaultValue::Literal(b))) if a != b => {
                let value = |text| cdc_codec::text::parse(&written.ty, text);
                assert_eq!(value(a), value(b), "{a} {b}");
            }
            (read, written) => assert_eq!(read, written),
        }
    }
    if read.op != Op::Truncate {
        assert_eq!(read.table.key, written.table.key);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn an_event_reads_back_as_it_was_in_every_format(event in event()) {
        for format in [Format::Avro, Format::Json, Format::JsonWithSchema] {
            runtime().block_on(async {
                let mut bench = Bench::new("shop-1", "db", format);
                let records = bench.encode(&[Item::Change(event.clone())]).await;
                let mut decoder = bench.decoder();
                let mut read = Vec::new();
                for record in &records {
                    match decode(&mut decoder, &logged(record)).await.unwrap() {
                        Decoded::Change(event) => read.push((event, false)),
                        Decoded::Moved(event) => read.push((event, true)),
                        Decoded::Skip => assert!(record.value.is_none()),
                    }
                }
                let expected = expected(&event);
                assert_eq!(read.len(), expected.len());
                let is_incomplete = expected.len() > 1
                    && expected[1].after.as_ref().is_some_and(Row::has_unchanged);
                for (index, ((read, is_moved), written)) in read.iter().zip(&expected).enumerate() {
                    assert_eq!(*is_moved, is_incomplete && index == 0);
                    assert_same(read, written);
                }
            });
        }
    }

    #[test]
    fn no_change_of_a_records_bytes_makes_the_decoder_panic(
        event in event(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<prop::sample::Index>(),
        as_json: bool,
    ) {
        runtime().block_on(async {
            let format = if as_json { Format::Json } else { Format::Avro };
            let mut bench = Bench::new("shop", "db", format);
            let records = bench.encode(&[Item::Change(event)]).await;
            let mut decoder = bench.decoder();
            for record in &records {
                let mut record = logged(record);
                let Some(value) = &record.value else { continue };
                let mut bytes = value.to_vec();
                // The frame's id stays, so that the damage reaches the plan.
                for (at, byte) in &edits {
                    let at = at.index(bytes.len());
                    if at >= 5 {
                        bytes[at] = *byte;
                    }
                }
                bytes.truncate(5.max(cut.index(bytes.len() * 2)));
                record.value = Some(bytes.into());
                drop(decode(&mut decoder, &record).await);
            }
        });
    }

    #[test]
    fn no_bytes_make_the_decoder_panic(key: Option<Vec<u8>>, value: Vec<u8>, header: Vec<u8>) {
        runtime().block_on(async {
            let bench = Bench::new("shop", "db", Format::Avro);
            let mut decoder = bench.decoder();
            let record = cdc_model::Record {
                topic: cdc_model::Topic::new("shop.public.t"),
                placement: cdc_model::Placement::Fixed,
                key: key.map(Bytes::from),
                value: Some(value.into()),
                headers: [cdc_model::Header { name: "penstock.schema.id".into(), value: header.into() }].into(),
                id: None,
            };
            drop(decode(&mut decoder, &logged(&record)).await);
        });
    }
}
