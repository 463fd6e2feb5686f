//! The database as oracle: random values, rendered by us, cast and printed by a real server, read
//! back by us.
//!
//! Floats are compared by value: where two texts are equally short the server's choice may differ.

use bytes::Bytes;
use cdc_model::{Array, Date, Decimal, Interval, Text, Time, TimeTz, Timestamp, Value};
use cdc_source_postgres::value::{TypeCatalog, TypePlan, text};
use cdc_source_postgres::wire::Connection;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use testkit::server::postgres::{Postgres, Version};

/// Values of each type per run.
const VALUES: usize = 400;

const SEED: u64 = 0x5EED;

/// 4713-11-24 BC and 5874897-12-31.
const DATES: std::ops::RangeInclusive<i32> = -2_440_588..=2_145_042_905;
/// 4713-11-24 BC, and the last microsecond that fits (in 294247).
const TIMESTAMPS: std::ops::RangeInclusive<i64> = -210_866_803_200_000_000..=i64::MAX - 1;
const DAY: i64 = 86_400_000_000;

struct Case {
    ty: &'static str,
    oid: u32,
    generate: fn(&mut SmallRng) -> Value,
}

const fn case(ty: &'static str, oid: u32, generate: fn(&mut SmallRng) -> Value) -> Case {
    Case { ty, oid, generate }
}

const CASES: &[Case] = &[
    case("bool", 16, |rng| Value::Bool(rng.random())),
    case("int2", 21, |rng| Value::Int16(rng.random())),
    case("int4", 23, |rng| Value::Int32(rng.random::<i32>() >> rng.random_range(0..31))),
    case("int8", 20, |rng| Value::Int64(rng.random::<i64>() >> rng.random_range(0..63))),
    case("oid", 26, |rng| Value::Int64(rng.random::<u32>().into())),
    case("float4", 700, float4),
    case("float8", 701, float8),
    case("numeric", 1700, |rng| Value::Decimal(numeric(rng))),
    case("text", 25, |rng| Value::text(string(rng))),
    case("bytea", 17, |rng| {
        let length = rng.random_range(0..40);
        Value::Bytes((0..length).map(|_| rng.random::<u8>()).collect())
    }),
    case("date", 1082, |rng| Value::Date(date(rng))),
    case("time", 1083, |rng| Value::Time(time(rng))),
    case("timetz", 1266, |rng| {
        let offset_seconds = rng.random_range(-57_599..=57_599);
        Value::TimeTz(TimeTz { time: time(rng), offset_seconds })
    }),
    case("timestamp", 1114, |rng| Value::Timestamp(timestamp(rng))),
    case("timestamptz", 1184, |rng| Value::TimestampTz(timestamp(rng))),
    case("interval", 1186, |rng| Value::Interval(interval(rng))),
    case("uuid", 2950, |rng| Value::Uuid(rng.random())),
    case("int4[]", 1007, |rng| array(rng, |rng| Value::Int32(rng.random()))),
    case("text[]", 1009, |rng| array(rng, |rng| Value::text(string(rng)))),
    case("bytea[]", 1001, |rng| array(rng, |rng| Value::Bytes(Bytes::from(string(rng))))),
    case("numeric[]", 1231, |rng| array(rng, |rng| Value::Decimal(numeric(rng)))),
    case("timestamp[]", 1115, |rng| array(rng, |rng| Value::Timestamp(timestamp(rng)))),
    case("interval[]", 1187, |rng| array(rng, |rng| Value::Interval(interval(rng)))),
    case("date[]", 1182, |rng| array(rng, |rng| Value::Date(date(rng)))),
];

fn float4(rng: &mut SmallRng) -> Value {
    let value = if rng.random() {
        f32::from_bits(rng.random())
    } else {
        f32::from(rng.random::<i16>()) / 100.0
    };
    Value::Float32(if value.is_nan() { f32::NAN } else { value })
}

fn float8(rng: &mut SmallRng) -> Value {
    let value = if rng.random() {
        f64::from_bits(rng.random())
    } else {
        f64::from(rng.random::<i32>()) / 1000.0
    };
    Value::Float64(if value.is_nan() { f64::NAN } else { value })
}

fn numeric(rng: &mut SmallRng) -> Decimal {
    let digits = |rng: &mut SmallRng, count: usize| -> String {
        (0..count).map(|_| char::from(rng.random_range(b'0'..=b'9'))).collect()
    };
    let whole_digits = rng.random_range(0..40);
    let whole = digits(rng, whole_digits);
    let whole = match whole.trim_start_matches('0') {
        "" => "0",
        digits => digits,
    };
    let mut text = whole.to_owned();
    if rng.random() {
        let fraction_digits = rng.random_range(1..30);
        text = format!("{whole}.{}", digits(rng, fraction_digits));
    }
    let is_zero = text.bytes().all(|byte| matches!(byte, b'0' | b'.'));
    if !is_zero && rng.random() {
        text.insert(0, '-');
    }
    if rng.random_ratio(1, 20) {
        text = ["NaN", "Infinity", "-Infinity"][rng.random_range(0..3)].to_owned();
    }
    Decimal::parse(Text::from(text)).unwrap()
}

fn string(rng: &mut SmallRng) -> String {
    const SPECIAL: &[&str] = &[
        "\"", "\\", "'", "{", "}", ",", " ", "\t", "\n", "\u{b}", "NULL", "é", "😀", "a", "Z", "0",
    ];
    let length = rng.random_range(0..6);
    (0..length).map(|_| SPECIAL[rng.random_range(0..SPECIAL.len())]).collect()
}

fn date(rng: &mut SmallRng) -> Date {
    match rng.random_range(0..20) {
        0 => Date::INFINITY,
        1 => Date::NEG_INFINITY,
        2..10 => Date(rng.random_range(DATES)),
        _ => Date(rng.random_range(-800_000..40_000)),
    }
}

/// Shortens some fractions, so that every number of digits comes up.
fn round(rng: &mut SmallRng, micros: i64) -> i64 {
    let unit = 10_i64.pow(rng.random_range(0..=6));
    micros - micros.rem_euclid(unit)
}

fn time(rng: &mut SmallRng) -> Time {
    let micros = rng.random_range(0..=DAY);
    Time(round(rng, micros))
}

fn timestamp(rng: &mut SmallRng) -> Timestamp {
    let micros = match rng.random_range(0..20) {
        0 => return Timestamp::INFINITY,
        1 => return Timestamp::NEG_INFINITY,
        2..10 => rng.random_range(TIMESTAMPS),
        _ => rng.random_range(-800_000 * DAY..40_000 * DAY),
    };
    let rounded = round(rng, micros);
    Timestamp(rounded.max(*TIMESTAMPS.start()))
}

fn interval(rng: &mut SmallRng) -> Interval {
    let micros = rng.random_range(i64::MIN / 2..i64::MAX / 2) >> rng.random_range(0..60);
    Interval {
        months: rng.random_range(-2_000_000_000..2_000_000_000) >> rng.random_range(0..31),
        days: rng.random_range(-2_000_000_000..2_000_000_000) >> rng.random_range(0..31),
        micros: round(rng, micros),
    }
}

fn array(rng: &mut SmallRng, mut element: impl FnMut(&mut SmallRng) -> Value) -> Value {
    let length = rng.random_range(0..6);
    let elements: Vec<_> = (0..length)
        .map(|_| if rng.random_ratio(1, 5) { Value::Null } else { element(rng) })
        .collect();
    Value::Array(Array { elements: elements.into(), exact: None })
}

/// Returns what the server prints for each text as a value of `ty`.
async fn printed(connection: &mut Connection, ty: &str, texts: &[String]) -> Vec<Bytes> {
    let elements: Vec<_> = texts.iter().map(Value::text).collect();
    let literal = text(&Value::Array(Array { elements: elements.into(), exact: None }));
    let literal = literal.replace('\'', "''");
    let sql = format!(
        "SELECT format('%s', v::{ty}) FROM unnest('{literal}'::text[]) WITH ORDINALITY u(v, i) \
         ORDER BY i"
    );
    let rows = connection.query(&sql).await.unwrap_or_else(|error| panic!("{ty}: {error}"));
    rows.into_iter().map(|mut row| row.remove(0).unwrap()).collect()
}

#[tokio::test]
async fn the_server_prints_what_we_print_and_we_read_what_it_prints() {
    for version in Version::ALL {
        let server = Postgres::start(version).await;
        let options = server.dsn("postgres").parse().unwrap();
        let mut connection = Connection::connect(&options, false).await.unwrap();
        for case in CASES {
            let mut rng = SmallRng::seed_from_u64(SEED ^ u64::from(case.oid));
            let values: Vec<_> = (0..VALUES).map(|_| (case.generate)(&mut rng)).collect();
            let texts: Vec<_> = values.iter().map(text).collect();
            let plan = TypePlan::compile(&TypeCatalog::default(), case.oid, -1);
            let printed = printed(&mut connection, case.ty, &texts).await;
            assert_eq!(printed.len(), values.len());
            for ((value, ours), theirs) in values.iter().zip(&texts).zip(printed) {
                let shown = String::from_utf8_lossy(&theirs).into_owned();
                assert_eq!(plan.parse(&theirs).as_ref(), Ok(value), "{} {shown}", case.ty);
                if !case.ty.starts_with("float") {
                    assert_eq!(*ours, shown, "{}", case.ty);
                }
            }
        }
    }
}

/// Forms that only the server's own input makes.
#[tokio::test]
async fn odd_forms_of_the_server_are_read() {
    let cases = [
        ("int4[]", 1007, "{{1,2},{3,NULL}}", "{{1,2},{3,NULL}}"),
        ("int4[]", 1007, "[0:1]={5,6}", "[0:1]={5,6}"),
        ("text[]", 1009, "[-2:-1][3:3]={{a},{\"\"}}", "[-2:-1][3:3]={{a},{\"\"}}"),
        ("numeric", 1700, "1e3", "1000"),
        ("numeric", 1700, "-0", "0"),
        ("float8", 701, "-0", "-0"),
        ("float8", 701, "1e15", "1e+15"),
        ("float4", 700, "0.1", "0.1"),
        ("time", 1083, "24:00:00", "24:00:00"),
        ("timestamptz", 1184, "4714-11-24 00:00:00+00 BC", "4714-11-24 00:00:00+00 BC"),
        ("timestamp", 1114, "12345-06-07 08:09:10", "12345-06-07 08:09:10"),
        ("interval", 1186, "1 mon -1 day", "1 mon -1 days"),
        ("interval", 1186, "-1 year 1 day", "-1 years +1 day"),
        ("jsonb", 3802, "{\"a\":1}", "{\"a\": 1}"),
        ("\"char\"", 18, "ab", "a"),
        ("char(4)", 1042, "ab", "ab  "),
    ];
    let server = Postgres::start(Version::V18).await;
    let options = server.dsn("postgres").parse().unwrap();
    let mut connection = Connection::connect(&options, false).await.unwrap();
    for (ty, oid, input, expected) in cases {
        let shown = printed(&mut connection, ty, &[input.to_owned()]).await.remove(0);
        assert_eq!(shown, expected, "{ty}");
        let plan = TypePlan::compile(&TypeCatalog::default(), oid, -1);
        assert_eq!(text(&plan.parse(&shown).unwrap()), expected, "{ty}");
    }
    // Infinite intervals are new in PostgreSQL 17.
    let infinite = printed(&mut connection, "interval", &["-infinity".to_owned()]).await;
    let plan = TypePlan::compile(&TypeCatalog::default(), 1186, -1);
    assert_eq!(text(&plan.parse(&infinite[0]).unwrap()), "-infinity");
}
