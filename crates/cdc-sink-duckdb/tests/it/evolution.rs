//! Tables whose definition changes.

use cdc_model::{Column, ColumnType, DefaultValue, Value};
use cdc_pipeline::Classify as _;

use crate::world::{World, insert_of, table_of};

fn column(name: &str, ty: ColumnType) -> Column {
    Column::new(name, ty)
}

fn with_default(column: Column, text: &str) -> Column {
    let default = Some(DefaultValue::Literal(text.into()));
    Column { default, missing: Some(text.into()), ..column }
}

#[tokio::test]
async fn an_added_column_fills_old_rows_with_its_constant_default() {
    let mut world = World::new().await;
    let old = table_of("t", vec![column("v", ColumnType::Text)]);
    let new = table_of(
        "t",
        vec![
            column("v", ColumnType::Text),
            with_default(column("n", ColumnType::Int32).not_null(), "5"),
            with_default(column("s", ColumnType::Text), "it's"),
            with_default(column("b", ColumnType::Bytes), "\\x00ff"),
            with_default(column("f", ColumnType::Bool), "t"),
            with_default(column("d", ColumnType::Decimal(Some((10, 2)))), "1.50"),
            with_default(column("l", ColumnType::Array(Box::new(ColumnType::Int32))), "{}"),
            column("z", ColumnType::Uuid),
        ],
    );
    world.apply(vec![insert_of(&old, 1, vec![Value::text("a")])]).await.unwrap();
    let null = Value::Null;
    let values = vec![
        Value::text("b"),
        Value::Int32(6),
        null.clone(),
        null.clone(),
        null.clone(),
        null.clone(),
        null.clone(),
        null,
    ];
    // An old event after the new one (another partition's) is filled too.
    let events = vec![insert_of(&old, 2, vec![Value::text("a")]), insert_of(&new, 3, values)];
    world.apply(events).await.unwrap();
    let filled = "a|5|it's|\\x00\\xFF|true|1.50|[]|NULL";
    let expected = [
        format!("1|{filled}"),
        format!("2|{filled}"),
        "3|b|6|NULL|NULL|NULL|NULL|NULL|NULL".to_owned(),
    ];
    assert_eq!(world.rows("FROM public_t ORDER BY id").await, expected);
}

#[tokio::test]
async fn old_rows_have_what_they_had_when_the_column_was_added_whatever_its_default_is_now() {
    let mut world = World::new().await;
    let old = table_of("t", vec![]);
    let of = |default, missing: &str| Column {
        default,
        missing: Some(missing.into()),
        ..column(&format!("c{missing}"), ColumnType::Int32)
    };
    let columns = vec![
        of(Some(DefaultValue::Literal("7".into())), "5"),
        of(Some(DefaultValue::Expression), "6"),
        of(None, "8"),
    ];
    let new = table_of("t", columns);
    world.apply(vec![insert_of(&old, 1, vec![])]).await.unwrap();
    world
        .apply(vec![insert_of(&new, 2, vec![Value::Null, Value::Null, Value::Null])])
        .await
        .unwrap();
    assert_eq!(world.rows("FROM public_t ORDER BY id").await, ["1|5|6|8", "2|NULL|NULL|NULL"]);
}

#[tokio::test]
async fn a_dropped_column_stays_and_is_null_in_new_rows() {
    let mut world = World::new().await;
    let wide = table_of("t", vec![column("a", ColumnType::Int32), column("b", ColumnType::Int32)]);
    let narrow = table_of("t", vec![column("b", ColumnType::Int32)]);
    world.apply(vec![insert_of(&wide, 1, vec![Value::Int32(1), Value::Int32(2)])]).await.unwrap();
    world.apply(vec![insert_of(&narrow, 2, vec![Value::Int32(3)])]).await.unwrap();
    assert_eq!(world.rows("FROM public_t ORDER BY id").await, ["1|1|2", "2|NULL|3"]);
    let mut world = world.reopen().await;
    let back = vec![insert_of(&wide, 3, vec![Value::Int32(1), Value::Int32(2)])];
    assert_eq!(world.fails(back).await.code(), Some("RESYNC_NEEDED"));
}

#[tokio::test]
async fn a_type_widens_with_its_rows() {
    let mut world = World::new().await;
    let of = |n, f, d, s| {
        table_of("t", vec![column("n", n), column("f", f), column("d", d), column("s", s)])
    };
    let old = of(
        ColumnType::Int16,
        ColumnType::Float32,
        ColumnType::Decimal(Some((4, 2))),
        ColumnType::Varchar(Some(3)),
    );
    let new =
        of(ColumnType::Int64, ColumnType::Float64, ColumnType::Decimal(None), ColumnType::Text);
    let decimal =
        |text: &'static str| Value::Decimal(cdc_model::Decimal::parse(text.into()).unwrap());
    let first = vec![Value::Int16(1), Value::Float32(0.5), decimal("-0.50"), Value::text("abc")];
    world.apply(vec![insert_of(&old, 1, first)]).await.unwrap();
    let second =
        vec![Value::Int64(i64::MAX), Value::Float64(0.1), decimal("NaN"), Value::text("abcd")];
    world.apply(vec![insert_of(&new, 2, second)]).await.unwrap();
    let expected = ["1|1|0.5|-0.50|abc", "2|9223372036854775807|0.1|NaN|abcd"];
    assert_eq!(world.rows("FROM public_t ORDER BY id").await, expected);
    let types = "SELECT column_type FROM (DESCRIBE public_t)";
    assert_eq!(world.rows(types).await, ["BIGINT", "BIGINT", "DOUBLE", "VARCHAR", "VARCHAR"]);
}

#[tokio::test]
async fn changes_that_rewrite_old_rows_unseen_halt() {
    let expression = Column {
        default: Some(DefaultValue::Expression),
        ..column("n", ColumnType::TimestampTz(6))
    };
    let old = || column("v", ColumnType::Int32);
    for changed in [
        vec![column("v", ColumnType::Text)],
        vec![column("renamed", ColumnType::Int32)],
        vec![old(), expression],
        vec![old(), Column { missing: None, ..with_default(column("n", ColumnType::Int32), "7") }],
        vec![old(), column("serial", ColumnType::Int64).not_null()],
        vec![old(), with_default(column("x", ColumnType::Date), "not a date")],
    ] {
        let mut world = World::new().await;
        let before = table_of("t", vec![old()]);
        world.apply(vec![insert_of(&before, 1, vec![Value::Int32(1)])]).await.unwrap();
        let count = changed.len();
        let after = table_of("t", changed);
        let error = world.fails(vec![insert_of(&after, 2, vec![Value::Null; count])]).await;
        assert_eq!(error.code(), Some("RESYNC_NEEDED"), "{error}");
        assert_eq!(world.rows("FROM public_t").await, ["1|1"]);
    }
}
