//! One line of text for an event.

use std::sync::Arc;

use cdc_model::{
    Column, Lsn, Op, Origin, ReplicaIdentity, TableId, TableName, Timestamp, Transaction,
};

use super::*;

#[test]
fn an_update_is_one_line_with_its_key_and_unchanged_columns() {
    let ty = ColumnType::Decimal(Some((10, 2)));
    let total = parse(&ty, "12.50").unwrap();
    let table = TableSchema {
        id: TableId(1),
        name: TableName::new("public", "orders"),
        columns: vec![
            Column::new("id", ColumnType::Int64),
            Column::new("total", ty),
            Column::new("note", ColumnType::Text),
        ],
        key: vec![0],
        replica_identity: ReplicaIdentity::Default,
    };
    let lsn = Lsn(0x16_B374_D848);
    let transaction = Transaction {
        id: 7,
        commit_lsn: lsn,
        previous_commit_lsn: None,
        committed_at: Timestamp(0),
    };
    let event = ChangeEvent {
        table: Arc::new(table),
        op: Op::Update,
        before: None,
        after: Some(Row::new(vec![Value::Int64(7), total, Value::Unchanged])),
        origin: Origin { transaction: Arc::new(transaction), seq: 0, lsn, snapshot: None },
    };
    assert_eq!(
        render(&event),
        "u public.orders {id=7} before=- after={id=7,total=12.50,note=<unchanged>} @16/B374D848"
    );
    assert_eq!(value(&Value::text("two\nlines")), "\"two\\nlines\"");
}
