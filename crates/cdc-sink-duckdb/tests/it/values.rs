//! Every type, at its edges.

use std::sync::Arc;

use bytes::Bytes;
use cdc_model::{
    Array, Column, ColumnType, Date, Decimal, Interval, Time, TimeTz, Timestamp, Value,
};
use cdc_pipeline::port::SinkError as _;
use cdc_pipeline::{Classify as _, ErrorClass};

use crate::world::{World, insert_of, table_of};

fn decimal(text: &'static str) -> Value {
    Value::Decimal(Decimal::parse(text.into()).unwrap())
}

fn list(elements: Vec<Value>) -> Value {
    Value::Array(Array { elements: elements.into(), exact: None })
}

fn array(element: ColumnType) -> ColumnType {
    ColumnType::Array(Box::new(element))
}

/// Column type, value, and the value as DuckDB shows it.
#[expect(clippy::too_many_lines, reason = "rows of data")]
pub(crate) fn matrix() -> Vec<(ColumnType, Value, &'static str)> {
    use ColumnType as T;
    const NINES: &str = "99999999999999999999999999999999999999";
    vec![
        (T::Bool, Value::Bool(true), "true"),
        (T::Int16, Value::Int16(i16::MIN), "-32768"),
        (T::Int32, Value::Int32(i32::MIN), "-2147483648"),
        (T::Int64, Value::Int64(i64::MIN), "-9223372036854775808"),
        (T::Float32, Value::Float32(f32::MIN_POSITIVE), "1.1754944e-38"),
        (T::Float32, Value::Float32(f32::NAN), "nan"),
        (T::Float64, Value::Float64(f64::NEG_INFINITY), "-inf"),
        (T::Float64, Value::Float64(0.1), "0.1"),
        (T::Decimal(Some((38, 0))), decimal(NINES), NINES),
        (T::Decimal(Some((10, 2))), decimal("-0.05"), "-0.05"),
        (T::Decimal(Some((3, 5))), decimal("0.00999"), "0.00999"),
        (T::Decimal(Some((2, -3))), decimal("-99000"), "-99000"),
        (T::Decimal(Some((50, 2))), decimal("NaN"), "NaN"),
        (T::Decimal(None), decimal("1.5000"), "1.5000"),
        (T::Decimal(None), decimal("-Infinity"), "-Infinity"),
        (T::Text, Value::text(""), ""),
        (T::Text, Value::text("žluťoučký 🐎 'quoted' \"x\""), "žluťoučký 🐎 'quoted' \"x\""),
        (T::Char(Some(5)), Value::text("ab   "), "ab   "),
        (T::Json, Value::text("{\"a\": [1, 1.00]}"), "{\"a\": [1, 1.00]}"),
        (T::Bytes, Value::Bytes(Bytes::from_static(b"\0\xffa")), "\\x00\\xFFa"),
        (T::Bytes, Value::Bytes(Bytes::new()), ""),
        (T::Date, Value::Date(Date(19_000)), "2022-01-08"),
        (T::Date, Value::Date(Date::INFINITY), "infinity"),
        (T::Date, Value::Date(Date::NEG_INFINITY), "-infinity"),
        (T::Date, Value::Date(Date(-2_440_588)), "4714-11-24 (BC)"),
        (T::Time(6), Value::Time(Time(86_400_000_000)), "24:00:00"),
        (T::Time(6), Value::Time(Time(1)), "00:00:00.000001"),
        (
            T::TimeTz(6),
            Value::TimeTz(TimeTz { time: Time(43_200_000_001), offset_seconds: -57_599 }),
            "12:00:00.000001-15:59:59",
        ),
        (
            T::TimeTz(6),
            Value::TimeTz(TimeTz { time: Time(86_400_000_000), offset_seconds: 19_800 }),
            "24:00:00+05:30",
        ),
        (T::Timestamp(6), Value::Timestamp(Timestamp(-1)), "1969-12-31 23:59:59.999999"),
        (T::Timestamp(6), Value::Timestamp(Timestamp::INFINITY), "infinity"),
        (T::TimestampTz(6), Value::TimestampTz(Timestamp::NEG_INFINITY), "-infinity"),
        (T::TimestampTz(6), Value::TimestampTz(Timestamp(0)), "1970-01-01 00:00:00+00"),
        (
            T::Interval,
            Value::Interval(Interval { months: -14, days: 3, micros: i64::MAX }),
            "-1 year -2 months 3 days 2562047788:00:54.775807",
        ),
        (T::Uuid, Value::Uuid([0xab; 16]), "abababab-abab-abab-abab-abababababab"),
        (
            T::Enum { name: "public.mood".into(), labels: Arc::from(["ok".into()]) },
            Value::text("ok"),
            "ok",
        ),
        (T::Other { name: "pg_catalog.inet".into() }, Value::text("10.0.0.1/8"), "10.0.0.1/8"),
        (array(T::Int32), list(vec![Value::Int32(1), Value::Null]), "[1, NULL]"),
        (array(T::Int32), list(vec![]), "[]"),
        (
            array(T::Text),
            list(vec![Value::text("a, \"b\""), Value::text("NULL"), Value::Null]),
            "['a, \"b\"', 'NULL', NULL]",
        ),
        (
            array(T::Float64),
            list(vec![Value::Float64(0.1), Value::Float64(f64::NAN)]),
            "[0.1, nan]",
        ),
        (array(T::Decimal(Some((10, 2)))), list(vec![decimal("1.50")]), "[1.50]"),
        (array(T::Bytes), list(vec![Value::Bytes(Bytes::from_static(b"\0\\a"))]), "[\\x00\\x5Ca]"),
        (array(T::Bool), list(vec![Value::Bool(false)]), "[false]"),
        (
            array(T::Date),
            list(vec![Value::Date(Date(-719_163)), Value::Date(Date::INFINITY)]),
            "['0001-12-31 (BC)', infinity]",
        ),
        (
            array(T::TimestampTz(6)),
            list(vec![
                Value::TimestampTz(Timestamp(1)),
                Value::TimestampTz(Timestamp::NEG_INFINITY),
                Value::TimestampTz(Timestamp(-62_135_596_800_000_001)),
            ]),
            "['1970-01-01 00:00:00.000001+00', -infinity, '0001-12-31 (BC) 23:59:59.999999+00']",
        ),
        (
            array(T::Uuid),
            list(vec![Value::Uuid([1; 16])]),
            "[01010101-0101-0101-0101-010101010101]",
        ),
        (
            array(T::Interval),
            list(vec![Value::Interval(Interval { months: 1, days: 0, micros: 1 })]),
            "['1 month 00:00:00.000001']",
        ),
    ]
}

#[tokio::test]
async fn every_type_is_held_exactly() {
    let mut world = World::new().await;
    let matrix = matrix();
    let columns = matrix.iter().enumerate();
    let columns = columns.map(|(index, (ty, ..))| Column::new(format!("c{index}"), ty.clone()));
    let table = table_of("all", columns.collect());
    let values = matrix.iter().map(|(_, value, _)| value.clone()).collect();
    let nulls = vec![Value::Null; matrix.len()];
    world.apply(vec![insert_of(&table, 1, values), insert_of(&table, 2, nulls)]).await.unwrap();
    let row = world.rows("SELECT * EXCLUDE id FROM public_all WHERE id = 1").await.remove(0);
    let expected: Vec<_> = matrix.iter().map(|(.., text)| *text).collect();
    for (index, (found, expected)) in row.split('|').zip(&expected).enumerate() {
        assert_eq!(&found, expected, "{:?}", matrix[index].0);
    }
    assert_eq!(row, expected.join("|"));
    let nulls = world.rows("SELECT * EXCLUDE id FROM public_all WHERE id = 2").await.remove(0);
    assert!(nulls.split('|').all(|text| text == "NULL"), "{nulls}");
}

#[tokio::test]
async fn a_megabyte_of_text_is_held() {
    let mut world = World::new().await;
    let table = table_of("t", vec![Column::new("v", ColumnType::Text)]);
    let text = "ř".repeat(1 << 19);
    world.apply(vec![insert_of(&table, 1, vec![Value::text(text.clone())])]).await.unwrap();
    assert_eq!(world.rows("SELECT v FROM public_t").await, [text]);
}

#[tokio::test]
async fn a_value_no_column_holds_is_poison_and_leaves_nothing() {
    use ColumnType as T;
    let two_dimensional =
        Value::Array(Array { elements: vec![Value::Int32(1)].into(), exact: Some("{{1}}".into()) });
    for (ty, value) in [
        (T::Decimal(Some((10, 2))), decimal("NaN")),
        (T::Decimal(Some((10, 2))), decimal("Infinity")),
        (T::Decimal(Some((4, 2))), decimal("123.45")),
        (T::Decimal(Some((4, 2))), decimal("1.234")),
        (array(T::Int32), two_dimensional),
        (T::Interval, Value::Interval(Interval { months: 0, days: 0, micros: i64::MIN })),
        (T::Int32, Value::text("not a number")),
        (T::Timestamp(6), Value::Timestamp(Timestamp(i64::MIN + 1))),
    ] {
        let mut world = World::new().await;
        let table = table_of("t", vec![Column::new("v", ty.clone())]);
        let events =
            vec![insert_of(&table, 1, vec![Value::Null]), insert_of(&table, 2, vec![value])];
        let error = world.fails(events.clone()).await;
        assert_eq!((error.class(), error.poisoned()), (ErrorClass::Poison, Some(1)), "{ty:?}");
        world.apply(events[..1].to_vec()).await.unwrap();
        assert_eq!(world.rows("FROM public_t").await, ["1|NULL"]);
    }
}

#[tokio::test]
async fn keys_of_every_shape_are_found_again() {
    use ColumnType as T;
    for (ty, one, other) in [
        (T::Text, Value::text("a"), Value::text("A")),
        (T::Uuid, Value::Uuid([1; 16]), Value::Uuid([2; 16])),
        (T::Decimal(Some((10, 2))), decimal("1.00"), decimal("2.00")),
        (T::Decimal(None), decimal("1"), decimal("2")),
        (T::Date, Value::Date(Date(1)), Value::Date(Date(2))),
        (T::TimestampTz(6), Value::TimestampTz(Timestamp(1)), Value::TimestampTz(Timestamp(2))),
        (T::Bytes, Value::Bytes(Bytes::from_static(b"\0")), Value::Bytes(Bytes::new())),
        (T::Bool, Value::Bool(true), Value::Bool(false)),
        (array(T::Text), list(vec![Value::text("a")]), list(vec![Value::text("b")])),
    ] {
        let mut world = World::new().await;
        let mut table = table_of("t", vec![Column::new("k", ty.clone())]).as_ref().clone();
        table.key = vec![1];
        let table = Arc::new(table);
        let row = |id, key: &Value| vec![insert_of(&table, id, vec![key.clone()])];
        world.apply(row(1, &one)).await.unwrap();
        world.apply(row(2, &other)).await.unwrap();
        world.apply(row(3, &one)).await.unwrap();
        let ids = world.rows("SELECT id FROM public_t ORDER BY id").await;
        assert_eq!(ids, ["2", "3"], "{ty:?}");
    }
}
