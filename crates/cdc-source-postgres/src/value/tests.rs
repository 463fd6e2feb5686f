//! Values in every form the server prints, and texts that are in none.

use cdc_model::{Array, Date, Interval, Time, TimeTz, Timestamp};

use super::*;

fn plan(oid: u32) -> TypePlan {
    TypePlan::compile(&TypeCatalog::default(), oid, -1)
}

fn read(oid: u32, text: &str) -> Result<Value, ValueError> {
    plan(oid).parse(&Bytes::from(text.to_owned()))
}

/// Checks that `text` means `value` and that `value` prints as `text`.
#[track_caller]
fn same(oid: u32, text: &str, value: &Value) {
    assert_eq!(read(oid, text).as_ref(), Ok(value), "{text}");
    assert_eq!(render::text(value), text);
}

#[track_caller]
fn refused(oid: u32, texts: &[&str]) {
    for text in texts {
        assert!(read(oid, text).is_err(), "{text:?} was read as {:?}", read(oid, text));
    }
}

#[test]
fn integers() {
    same(20, "0", &Value::Int64(0));
    same(20, "9223372036854775807", &Value::Int64(i64::MAX));
    same(20, "-9223372036854775808", &Value::Int64(i64::MIN));
    same(21, "-32768", &Value::Int16(i16::MIN));
    same(23, "2147483647", &Value::Int32(i32::MAX));
    same(26, "4294967295", &Value::Int64(4_294_967_295));
    refused(20, &["", "-", "+1", "1.0", " 1", "9223372036854775808", "99999999999999999999"]);
    refused(21, &["32768", "-32769"]);
    refused(23, &["2147483648"]);
}

#[test]
fn floats() {
    same(701, "0", &Value::Float64(0.0));
    same(701, "-0", &Value::Float64(-0.0));
    same(701, "0.1", &Value::Float64(0.1));
    same(701, "0.0001", &Value::Float64(0.0001));
    same(701, "1e-05", &Value::Float64(0.000_01));
    same(701, "123456789012345", &Value::Float64(123_456_789_012_345.0));
    same(701, "1e+15", &Value::Float64(1e15));
    same(701, "-1.5e+300", &Value::Float64(-1.5e300));
    same(701, "NaN", &Value::Float64(f64::NAN));
    same(701, "-Infinity", &Value::Float64(f64::NEG_INFINITY));
    same(700, "Infinity", &Value::Float32(f32::INFINITY));
    same(700, "123456", &Value::Float32(123_456.0));
    same(700, "1.234567e+06", &Value::Float32(1_234_567.0));
    refused(701, &["", "x", "1,5"]);
}

#[test]
fn numerics_keep_every_digit() {
    for text in ["0", "-12.50", "NaN", "Infinity", "-Infinity", "0.000", "123456789012345678901.9"]
    {
        assert_eq!(render::text(&read(1700, text).unwrap()), text);
    }
    refused(1700, &["", "-", "1.", ".5", "1e5", "--1", "1.2.3", "nan"]);
}

#[test]
fn dates() {
    same(1082, "1970-01-01", &Value::Date(Date(0)));
    same(1082, "2024-02-29", &Value::Date(Date(19_782)));
    same(1082, "1969-12-31", &Value::Date(Date(-1)));
    same(1082, "0001-01-01", &Value::Date(Date(-719_162)));
    same(1082, "0001-12-31 BC", &Value::Date(Date(-719_163)));
    same(1082, "4714-11-24 BC", &Value::Date(Date(-2_440_588)));
    same(1082, "5874897-12-31", &Value::Date(Date(2_145_042_905)));
    same(1082, "infinity", &Value::Date(Date::INFINITY));
    same(1082, "-infinity", &Value::Date(Date::NEG_INFINITY));
    refused(
        1082,
        &[
            "",
            "2023-02-29",
            "2024-13-01",
            "2024-00-01",
            "2024-1-1",
            "0000-01-01",
            "2024-01-01 AD",
            "9999999999999999999-01-01",
            "01/02/2024",
        ],
    );
}

#[test]
fn times() {
    same(1083, "00:00:00", &Value::Time(Time(0)));
    same(1083, "23:59:59.999999", &Value::Time(Time(86_399_999_999)));
    same(1083, "12:30:00.5", &Value::Time(Time(45_000_500_000)));
    same(1083, "24:00:00", &Value::Time(Time(86_400_000_000)));
    refused(
        1083,
        &["", "24:00:00.1", "1:00:00", "12:60:00", "12:00", "12:00:00.", "12:00:00.1234567"],
    );
    let at = |offset_seconds| Value::TimeTz(TimeTz { time: Time(3_600_000_000), offset_seconds });
    same(1266, "01:00:00+00", &at(0));
    same(1266, "01:00:00-05:30", &at(-19_800));
    same(1266, "01:00:00+15:59:59", &at(57_599));
    refused(1266, &["01:00:00", "01:00:00+1"]);
}

#[test]
fn timestamps() {
    same(1114, "1970-01-01 00:00:00", &Value::Timestamp(Timestamp(0)));
    same(1114, "1969-12-31 23:59:59.999999", &Value::Timestamp(Timestamp(-1)));
    same(1114, "infinity", &Value::Timestamp(Timestamp::INFINITY));
    same(1114, "4714-11-24 00:00:00 BC", &Value::Timestamp(Timestamp(-210_866_803_200_000_000)));
    same(1184, "2024-07-01 12:34:56.789+00", &Value::TimestampTz(Timestamp(1_719_837_296_789_000)));
    same(
        1184,
        "0001-01-01 00:00:00+00 BC",
        &Value::TimestampTz(Timestamp(-62_167_219_200_000_000)),
    );
    let utc = read(1184, "2024-07-01 12:34:56+00").unwrap();
    for text in
        ["2024-07-01 14:34:56+02", "2024-07-01 07:04:56-05:30", "2024-07-01 12:54:28+00:19:32"]
    {
        assert_eq!(read(1184, text).unwrap(), utc, "{text}");
    }
    let last = Value::Timestamp(Timestamp(i64::MAX - 1));
    same(1114, "294247-01-10 04:00:54.775806", &last);
    assert_eq!(
        read(1114, "294276-12-31 23:59:59"),
        Err(ValueError::OutOfRange { expected: "timestamp" })
    );
    refused(1114, &["", "2024-07-01", "2024-07-01T00:00:00", "2024-07-01 00:00:00+00"]);
    refused(1184, &["2024-07-01 00:00:00"]);
}

#[test]
fn intervals() {
    let interval = |months, days, micros| Value::Interval(Interval { months, days, micros });
    same(1186, "00:00:00", &interval(0, 0, 0));
    same(1186, "1 year 2 mons -3 days +04:05:06.789", &interval(14, -3, 14_706_789_000));
    same(1186, "-1 years -1 mons", &interval(-13, 0, 0));
    same(1186, "1 day -00:00:00.000001", &interval(0, 1, -1));
    same(1186, "2562047788:00:54.775807", &interval(0, 0, i64::MAX));
    same(1186, "-2562047788:00:54.775808", &interval(0, 0, i64::MIN));
    same(1186, "178956970 years 7 mons", &interval(i32::MAX, 0, 0));
    same(1186, "infinity", &interval(i32::MAX, i32::MAX, i64::MAX));
    refused(1186, &["", "1", "1 week", "P1D", "1 year ", "00:00", "999999999999999999 years"]);
}

#[test]
fn bytes_uuids_and_bools() {
    same(17, "\\x", &Value::Bytes(Bytes::new()));
    same(17, "\\x00ff1a", &Value::Bytes(Bytes::from_static(&[0, 255, 26])));
    refused(17, &["", "x00", "\\x0", "\\x0g", "\\000"]);
    let id = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11";
    assert_eq!(text(&read(2950, id).unwrap()), id);
    refused(
        2950,
        &[
            "",
            "a0eebc999c0b4ef8bb6d6bb9bd380a11",
            "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a1g",
            "a0eebc99-9c0b-4ef8-bb6d_6bb9bd380a11",
        ],
    );
    same(16, "t", &Value::Bool(true));
    refused(16, &["", "true", "1"]);
}

#[test]
fn text_must_be_utf8_and_shares_its_bytes() {
    let bytes = Bytes::from("héllo");
    let Ok(Value::Text(text)) = plan(25).parse(&bytes) else { panic!() };
    assert_eq!(text.as_bytes().as_ptr(), bytes.as_ptr());
    assert_eq!(plan(25).parse(&Bytes::from_static(b"\xFF")), Err(ValueError::NotUtf8));
}

fn array(elements: &[Value], exact: Option<&'static str>) -> Value {
    Value::Array(Array { elements: elements.into(), exact: exact.map(Text::from) })
}

#[test]
fn arrays() {
    let text = |text: &str| Value::text(text);
    same(1007, "{}", &array(&[], None));
    same(1007, "{1,NULL,-3}", &array(&[Value::Int32(1), Value::Null, Value::Int32(-3)], None));
    same(
        1009,
        r#"{a,"NULL","","b,c","d\"e\\f"," "}"#,
        &array(&[text("a"), text("NULL"), text(""), text("b,c"), text("d\"e\\f"), text(" ")], None),
    );
    same(
        1007,
        "{{1,2},{3,4}}",
        &array(
            &[Value::Int32(1), Value::Int32(2), Value::Int32(3), Value::Int32(4)],
            Some("{{1,2},{3,4}}"),
        ),
    );
    same(1007, "[2:3]={1,2}", &array(&[Value::Int32(1), Value::Int32(2)], Some("[2:3]={1,2}")));
    same(1001, r#"{"\\x01"}"#, &array(&[Value::Bytes(Bytes::from_static(&[1]))], None));
    let at = Value::Timestamp(Timestamp(0));
    same(1115, r#"{"1970-01-01 00:00:00"}"#, &array(&[at], None));
    refused(
        1007,
        &[
            "",
            "{",
            "}",
            "{1",
            "{1,}",
            "{,1}",
            "{1}{2}",
            "{1}}",
            "{x}",
            "[1:2]",
            "1,2",
            "{\"1\"2}",
            "{{{{{{{1}}}}}}}",
        ],
    );
    refused(1009, &["{\"", "{\"a", "{\"a\\", "{a\"b\"}"]);
}

#[test]
fn array_parsers_take_other_delimiters() {
    let mut parser = Parser::array_of(Parser::Text);
    parser.delimiter = b';';
    let text = Bytes::from("{(1,2);(3,4)}");
    let array = array::array(&parser, &text, &text).unwrap();
    assert_eq!(array.elements[..], [Value::text("(1,2)"), Value::text("(3,4)")]);
}

fn tuple(bytes: &'static [u8]) -> Tuple {
    Tuple::new(Bytes::from_static(bytes))
}

#[test]
fn rows_are_read_by_plan() {
    let plan = RowPlan::new(vec![plan(23), plan(25), plan(25), plan(25)]);
    let row = plan.row(&tuple(b"\0\x04t\0\0\0\x0242t\0\0\0\x02hinu")).unwrap();
    let values = [Value::Int32(42), Value::text("hi"), Value::Null, Value::Unchanged];
    assert_eq!(row[..], values);
    let copied = plan.copied_row(&Bytes::from("42\tt\\tb\t\\N\tx\n")).unwrap();
    assert_eq!(copied[..], [Value::Int32(42), Value::text("t\tb"), Value::Null, Value::text("x")]);
}

#[test]
fn rows_that_do_not_fit_are_refused() {
    let plan = RowPlan::new(vec![plan(23)]);
    let count = |found| Err(RowError::ColumnCount { expected: 1, found });
    assert_eq!(plan.row(&tuple(b"\0\0")), count(0));
    assert_eq!(plan.row(&tuple(b"\0\x03nnn")), count(3));
    assert_eq!(
        plan.row(&tuple(b"\0\x01b\0\0\0\0")),
        Err(RowError::Value { column: 0, source: ValueError::BinaryForm })
    );
    assert_eq!(plan.row(&tuple(b"\0\x01nx")), Err(DecodeError::TrailingBytes.into()));
    assert_eq!(plan.copied_row(&Bytes::from("1\t2")), count(2));
    assert_eq!(plan.copied_row(&Bytes::from("1\\")), Err(RowError::CopyLine));
}
