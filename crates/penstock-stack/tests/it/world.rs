//! A stack, and what tests ask of it.

use std::path::Path;
use std::time::Duration;

use cdc_control::v1;
use penstock_stack::{Role, Stack};
use testkit::server::until;

/// Longer than anything a test waits for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// The projections that a projector of the stack keeps.
pub(crate) const PROJECTIONS: [&str; 3] = ["audit", "duckdb", "search"];

pub(crate) async fn stack() -> Stack {
    Stack::start(Path::new(env!("CARGO_BIN_EXE_stack"))).await.unwrap()
}

/// Writes rows that no other test writes, and waits until every projection has them, each once.
pub(crate) async fn write_and_settle(stack: &Stack, from: i64, count: i64) {
    write(stack, from, count).await;
    settle(stack).await;
}

pub(crate) async fn write(stack: &Stack, from: i64, count: i64) {
    let sql = format!(
        "INSERT INTO customers (name, email) SELECT 'customer ' || i, 'c' || i || '@example.org'
         FROM generate_series({from}, {}) i",
        from + count - 1
    );
    stack.postgres().sql(&sql).await;
}

/// Waits until the warehouse equals the source, and no projection is behind.
pub(crate) async fn settle(stack: &Stack) {
    let there = stack.postgres().rows("SELECT id, name FROM customers ORDER BY id").await;
    until("the warehouse equals the source", PATIENCE, async || {
        let sql = "SELECT id, name FROM public_customers ORDER BY id";
        let Ok(reply) = stack.control(Role::Projector).query(sql, 1_000_000).await else {
            return false;
        };
        let cells = |row: v1::Row| row.cells.into_iter().map(|cell| cell.text).collect();
        let here: Vec<Vec<Option<String>>> = reply.rows.into_iter().map(cells).collect();
        here == there
    })
    .await;
    until("no projection is behind", PATIENCE, async || {
        let status = stack.status().await;
        let is_level = |one: &v1::Projection| {
            one.state() == v1::State::Running
                && one.records_total > 0
                && one.records_applied == one.records_total
        };
        status.projections.len() == PROJECTIONS.len() && status.projections.iter().all(is_level)
    })
    .await;
}
