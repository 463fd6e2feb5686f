//! The row that everything is measured with, as SQL and as change events without a source:
//! `bench(id bigint primary key, a int, b text of 100 chars, c numeric(12,2), d timestamptz,
//! e bool)`, about 200 bytes in the replication stream.

use std::sync::Arc;

use cdc_model::{
    ChangeEvent, Column, ColumnType, Decimal, Lsn, Op, Origin, ReplicaIdentity, Row, TableId,
    TableName, TableSchema, Text, Timestamp, Transaction, Value,
};

/// The table.
pub(crate) const CREATE: &str = "CREATE TABLE bench (id bigint PRIMARY KEY, a int, b text, \
    c numeric(12,2), d timestamptz, e bool)";

/// The columns of row `i`; a third of `b` is noise, the rest is text, so that compression has
/// something to do but not everything.
pub(crate) const COLUMNS: &str = "i, i % 1000, rpad(md5(i::text), 100, \
    ' the sluice is open and the water is running'), i % 100000 + 0.25, now(), i % 2 = 0";

const NOISE: &str = "the sluice is open and the water is running over the weir to the turbines";

/// Returns the table's definition.
pub(crate) fn table() -> Arc<TableSchema> {
    Arc::new(TableSchema {
        id: TableId(16_384),
        name: TableName::new("public", "bench"),
        columns: vec![
            Column::new("id", ColumnType::Int64).not_null(),
            Column::new("a", ColumnType::Int32),
            Column::new("b", ColumnType::Text),
            Column::new("c", ColumnType::Decimal(Some((12, 2)))),
            Column::new("d", ColumnType::TimestampTz(6)),
            Column::new("e", ColumnType::Bool),
        ],
        key: vec![0],
        replica_identity: ReplicaIdentity::Default,
    })
}

/// Returns the transaction with number `number`, committed at `at`.
pub(crate) fn transaction(number: u64, at: Timestamp) -> Arc<Transaction> {
    Arc::new(Transaction {
        id: 1_000 + number,
        commit_lsn: Lsn((number + 1) << 20),
        previous_commit_lsn: None,
        committed_at: at,
    })
}

/// Returns the change that makes row `id`, or makes it anew, as change `seq` of a transaction.
pub(crate) fn event(
    table: &Arc<TableSchema>,
    transaction: &Arc<Transaction>,
    (op, id, seq): (Op, u64, u64),
) -> ChangeEvent {
    let origin = Origin {
        transaction: transaction.clone(),
        seq,
        lsn: Lsn(transaction.commit_lsn.0 + seq),
        snapshot: None,
    };
    ChangeEvent { table: table.clone(), op, before: None, after: Some(row(id)), origin }
}

fn row(id: u64) -> Row {
    let noise = id.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let text = format!("{noise:016x}{:012x}{NOISE}", noise.rotate_left(23) >> 16);
    let decimal = Text::from(format!("{}.25", id % 100_000));
    Row::new(vec![
        Value::Int64(id.cast_signed()),
        Value::Int32(i32::try_from(id % 1_000).unwrap_or(0)),
        Value::Text(Text::from(text)),
        Decimal::parse(decimal).map_or(Value::Null, Value::Decimal),
        Value::TimestampTz(Timestamp(1_700_000_000_000_000 + id.cast_signed())),
        Value::Bool(id.is_multiple_of(2)),
    ])
}
