//! A small shop's worth of orders, generated: what `penstock dev` and `penstock demo` capture.
//!
//! Each step is one transaction: a new order with its items, an order that moves on, one that is
//! cancelled and deleted, a customer who changes an address, a product whose price or long
//! description changes. The same seed makes the same orders.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tokio::sync::Mutex;
use tokio::time::MissedTickBehavior;
use tokio_postgres::Client;
use tokio_util::sync::CancellationToken;

/// The tables of the load, with their keys.
pub const TABLES: [&str; 4] = ["customers", "products", "orders", "order_items"];

const CUSTOMERS: i64 = 500;
const PRODUCTS: i64 = 120;

const SCHEMA: &str = "
CREATE TABLE customers (
    id bigint PRIMARY KEY, name text NOT NULL, email varchar(120) NOT NULL, address jsonb,
    created_at timestamptz NOT NULL DEFAULT now());
CREATE TABLE products (
    id bigint PRIMARY KEY, sku char(8) NOT NULL, name text NOT NULL, price numeric(10,2) NOT NULL,
    description text, tags text[], is_active boolean NOT NULL DEFAULT true);
ALTER TABLE products ALTER description SET STORAGE EXTERNAL;
CREATE TYPE order_status AS ENUM ('placed', 'paid', 'shipped', 'delivered');
CREATE TABLE orders (
    id bigserial PRIMARY KEY, customer_id bigint NOT NULL, status order_status NOT NULL,
    total numeric(12,2) NOT NULL, placed_at timestamptz NOT NULL DEFAULT now(),
    delivery_date date, note text);
CREATE TABLE order_items (
    order_id bigint, line smallint, product_id bigint NOT NULL, quantity integer NOT NULL,
    price numeric(10,2) NOT NULL, PRIMARY KEY (order_id, line));
INSERT INTO customers SELECT i, 'Customer ' || i, 'c' || i || '@example.com',
    jsonb_build_object('street', i || ' Weir Lane', 'city', 'Millbrook') FROM generate_series(1, 500) i;
INSERT INTO products SELECT i, 'SKU' || lpad(i::text, 5, '0'), 'Valve no. ' || i, 5 + i * 1.25,
    repeat('A valve of cast bronze, tested at twice its rated pressure. ', 60),
    ARRAY['valve', CASE WHEN i % 2 = 0 THEN 'bronze' ELSE 'steel' END] FROM generate_series(1, 120) i;
";

/// How much the load has done so far.
#[derive(Debug, Default)]
pub struct LoadStats {
    /// Transactions committed.
    pub transactions: AtomicU64,
    /// Rows inserted, updated or deleted.
    pub rows: AtomicU64,
}

/// Makes the tables and their first rows, unless they are there.
///
/// # Errors
/// Those of the database.
pub async fn prepare(client: &Client) -> anyhow::Result<()> {
    let exists = "SELECT to_regclass('public.order_items') IS NOT NULL";
    if client.query_one(exists, &[]).await?.get(0) {
        return Ok(());
    }
    client.batch_execute(&format!("BEGIN;{SCHEMA}COMMIT")).await.context("making the shop's tables")
}

/// Places orders at `per_second` transactions a second until `stop`, holding `client` for each.
/// Behind, it skips instead of catching up.
///
/// # Errors
/// Those of the database.
pub async fn run(
    client: &Mutex<Client>,
    per_second: f64,
    stats: &LoadStats,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let mut dice = SmallRng::seed_from_u64(7);
    let mut ticks = tokio::time::interval(Duration::from_secs_f64(1.0 / per_second));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        let client = client.lock().await;
        let rows = step(&client, &mut dice).await.context("placing orders")?;
        stats.transactions.fetch_add(1, Ordering::Relaxed);
        stats.rows.fetch_add(rows, Ordering::Relaxed);
    }
    Ok(())
}

/// Commits one transaction, and returns how many rows it touched.
async fn step(client: &Client, dice: &mut SmallRng) -> Result<u64, tokio_postgres::Error> {
    let statement = match dice.random_range(0..100) {
        0..=54 => place_order(dice),
        55..=79 => "UPDATE orders SET status = CASE status WHEN 'placed' THEN 'paid' WHEN 'paid'
            THEN 'shipped' ELSE 'delivered' END::order_status, delivery_date = CASE status WHEN
            'paid' THEN current_date + 2 ELSE delivery_date END WHERE id = (SELECT max(id) -
            (random() * 200)::int FROM orders) AND status <> 'delivered'"
            .to_owned(),
        80..=84 => "WITH gone AS (DELETE FROM orders WHERE id = (SELECT max(id) - (random() *
            500)::int FROM orders) AND status = 'placed' RETURNING id) DELETE FROM order_items
            USING gone WHERE order_id = gone.id"
            .to_owned(),
        85..=91 => format!(
            "UPDATE customers SET address = jsonb_build_object('street', '{} Sluice Road', 'city',
            'Millbrook') WHERE id = {}",
            dice.random_range(1..999),
            dice.random_range(1..=CUSTOMERS)
        ),
        92..=98 => format!(
            "UPDATE products SET price = round(price * {}, 2) WHERE id = {}",
            dice.random_range(0.9..1.1),
            dice.random_range(1..=PRODUCTS)
        ),
        _ => format!(
            "UPDATE products SET description = repeat('Now with a gasket of type {}. ', 120)
            WHERE id = {}",
            dice.random_range(1..99),
            dice.random_range(1..=PRODUCTS)
        ),
    };
    client.execute(&statement, &[]).await
}

fn place_order(dice: &mut SmallRng) -> String {
    let lines: Vec<String> = (1..=dice.random_range(1..=4))
        .map(|line| {
            let (product, quantity) = (dice.random_range(1..=PRODUCTS), dice.random_range(1..6));
            format!("({line}::smallint, {product}::bigint, {quantity}::int)")
        })
        .collect();
    let note = if dice.random_bool(0.2) { "'Leave it at the lock-keeper''s'" } else { "NULL" };
    format!(
        "WITH items (line, product_id, quantity) AS (VALUES {}),
        priced AS (SELECT i.*, p.price FROM items i JOIN products p ON p.id = i.product_id),
        placed AS (INSERT INTO orders (customer_id, status, total, note) SELECT {}, 'placed',
            sum(quantity * price), {note} FROM priced RETURNING id)
        INSERT INTO order_items SELECT placed.id, line, product_id, quantity, price
            FROM placed, priced",
        lines.join(", "),
        dice.random_range(1..=CUSTOMERS)
    )
}
