//! The load dial: orders that nobody sent, at a rate that anybody may set.
//!
//! One task holds a bucket of tokens and at most as many statements under way as it has connections.
//! An order is one statement and one transaction: it, its items, and an earlier order that moves on.
//! Before one in ten something else is committed: an order is cancelled and deleted, a price changes,
//! a manual has a new edition, a customer a new name. Stock is left alone, so that there is something left
//! for people. Behind, it skips instead of catching up.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use sqlx::PgPool;
use tokio::sync::{RwLock, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::format::real;
use crate::store::LOAD_CONNECTIONS_MAX;

/// Orders per second at most.
pub(crate) const RATE_MAX: f64 = 10_000.0;

/// How much of a second may be saved up.
const BURST: f64 = 0.05;

const METER_INTERVAL: Duration = Duration::from_secs(2);

/// How long it rests after a refusal.
const REST: Duration = Duration::from_secs(1);

const ORDER: &str = "WITH wanted AS (
        SELECT * FROM unnest($1::bigint[], $2::bigint[])
            WITH ORDINALITY AS w (product, quantity, line)),
    priced AS (
        SELECT w.*, p.price FROM wanted w JOIN products p ON p.id = w.product),
    placed AS (
        INSERT INTO orders (customer_id, channel, total)
        SELECT $3, 'load', sum(quantity * price) FROM priced RETURNING id),
    moved AS (
        UPDATE orders SET status = CASE status WHEN 'placed' THEN 'packed'
            WHEN 'packed' THEN 'shipped' ELSE 'delivered' END::order_status
        WHERE id = $4 AND status <> 'delivered')
    INSERT INTO order_items (order_id, line, product_id, quantity, price)
    SELECT placed.id, line, product, quantity, price FROM placed, priced RETURNING order_id";

const CANCEL: &str = "DELETE FROM orders WHERE id = $1 AND channel = 'load'";
const REPRICE: &str =
    "UPDATE products SET price = round(price * $2::float8::numeric, 2) + 0.01 WHERE id = $1";
const REVISE: &str = "UPDATE products SET manual = repeat('Edition ' || $2 || '. ' || name || ': keep it \
    dry, keep it clean, and read this page twice. ', 80) WHERE id = $1";
const RENAME: &str = "UPDATE customers SET name = 'Customer ' || id || ' ' || $2 WHERE id = $1";

/// What is saved up for orders to come. Pure.
#[derive(Debug, Default)]
struct Bucket {
    tokens: f64,
}

impl Bucket {
    /// Adds what `elapsed` brings.
    fn fill(&mut self, rate: f64, elapsed: Duration) {
        let size = (rate * BURST).max(1.0);
        self.tokens = (self.tokens + rate * elapsed.as_secs_f64()).min(size);
    }

    /// Takes one, if there is one.
    fn take(&mut self) -> bool {
        let has = self.tokens >= 1.0;
        if has {
            self.tokens -= 1.0;
        }
        has
    }

    /// Returns how long it takes until there is one.
    fn wait(&self, rate: f64) -> Duration {
        let missing = (1.0 - self.tokens).max(0.0);
        if rate <= 0.0 {
            METER_INTERVAL
        } else {
            Duration::from_secs_f64((missing / rate).min(1.0))
        }
    }
}

/// What the load has done, and whether it may go on.
#[derive(Debug, Default)]
pub(crate) struct LoadStats {
    placed: AtomicU64,
    /// Read by each step that is under way.
    pub(crate) still: RwLock<()>,
    reading: Mutex<Reading>,
}

/// What the page tells of it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Reading {
    /// Orders per second, over the last two seconds.
    pub(crate) achieved: f64,
    /// Why the last one failed, until one succeeds.
    pub(crate) trouble: Option<String>,
}

impl LoadStats {
    pub(crate) fn placed(&self) -> u64 {
        self.placed.load(Ordering::Relaxed)
    }

    pub(crate) fn reading(&self) -> Reading {
        self.reading.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn change(&self, change: impl FnOnce(&mut Reading)) {
        change(&mut self.reading.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// Returns the rate nearest to what was wished for.
pub(crate) fn bounded(rate: f64) -> f64 {
    if rate.is_nan() { 0.0 } else { rate.clamp(0.0, RATE_MAX) }
}

/// Places orders at the rate that is set, until `stop`, then waits for those under way. Whoever holds
/// [`LoadStats::still`] for writing makes it stand still.
pub(crate) async fn run(
    pool: PgPool,
    mut rate: watch::Receiver<f64>,
    stats: &LoadStats,
    stop: CancellationToken,
) {
    while *rate.borrow_and_update() <= 0.0 {
        match stop.run_until_cancelled(rate.changed()).await {
            Some(Ok(())) => {}
            _ => return,
        }
    }
    loop {
        match Stall::open(&pool).await {
            Ok(stall) => return sell(&stall, &pool, rate, stats, &stop).await,
            Err(error) => _ = tell(Err(error), stats, &stop).await,
        }
        if stop.is_cancelled() {
            return;
        }
    }
}

async fn sell(
    stall: &Stall,
    pool: &PgPool,
    mut rate: watch::Receiver<f64>,
    stats: &LoadStats,
    stop: &CancellationToken,
) {
    let mut dice = SmallRng::seed_from_u64(7);
    let mut bucket = Bucket::default();
    let mut under_way = FuturesUnordered::new();
    let mut meter = Meter::default();
    let (mut last_order, mut filled) = (0, Instant::now());
    let bound = usize::try_from(LOAD_CONNECTIONS_MAX).unwrap_or(usize::MAX);
    loop {
        let wanted = *rate.borrow_and_update();
        bucket.fill(wanted, filled.elapsed());
        filled = Instant::now();
        while under_way.len() < bound && bucket.take() {
            under_way.push(stall.step(pool, &stats.still, &mut dice, last_order));
        }
        meter.read(stats);
        tokio::select! {
            Some(placed) = under_way.next() => {
                last_order = tell(placed, stats, stop).await.max(last_order);
            }
            () = tokio::time::sleep(bucket.wait(wanted)), if under_way.len() < bound => {}
            changed = rate.changed() => if changed.is_err() { break },
            () = stop.cancelled() => break,
        }
    }
    while under_way.next().await.is_some() {}
}

/// Counts an outcome and returns the order's id, or rests.
async fn tell(
    placed: Result<i64, sqlx::Error>,
    stats: &LoadStats,
    stop: &CancellationToken,
) -> i64 {
    match placed {
        Ok(order) => {
            stats.placed.fetch_add(1, Ordering::Relaxed);
            if stats.reading().trouble.is_some() {
                stats.change(|reading| reading.trouble = None);
            }
            order
        }
        Err(error) => {
            let said = error.to_string();
            if stats.reading().trouble.is_none() {
                tracing::warn!(error = %said, "the load places no orders");
            }
            stats.change(|reading| reading.trouble = Some(said));
            stop.run_until_cancelled(tokio::time::sleep(REST)).await;
            0
        }
    }
}

/// Reads the achieved rate once in a second.
#[derive(Debug)]
struct Meter {
    at: Instant,
    placed: u64,
}

impl Default for Meter {
    fn default() -> Self {
        Self { at: Instant::now(), placed: 0 }
    }
}

impl Meter {
    fn read(&mut self, stats: &LoadStats) {
        let elapsed = self.at.elapsed();
        if elapsed < METER_INTERVAL {
            return;
        }
        let placed = stats.placed();
        let new = real(i64::try_from(placed - self.placed).unwrap_or(i64::MAX));
        stats.change(|reading| reading.achieved = new / elapsed.as_secs_f64());
        *self = Self { at: Instant::now(), placed };
    }
}

/// Who buys, and what there is to buy: ids, read when they are first needed. What is scarce is for
/// people.
#[derive(Debug, Default)]
struct Stall {
    customers: Vec<i64>,
    products: Vec<i64>,
}

impl Stall {
    async fn open(pool: &PgPool) -> Result<Self, sqlx::Error> {
        let customers = "SELECT id FROM customers ORDER BY id LIMIT 200";
        let products = "SELECT id FROM products WHERE is_listed ORDER BY stock DESC, id LIMIT 18";
        Ok(Self {
            customers: sqlx::query_scalar(customers).fetch_all(pool).await?,
            products: sqlx::query_scalar(products).fetch_all(pool).await?,
        })
    }

    /// Makes an order by chance: the first products are bought more often than the last.
    fn draft(&self, dice: &mut SmallRng, last_order: i64) -> Draft {
        let mut products: Vec<i64> = (0..dice.random_range(1..=3))
            .filter_map(|_| {
                let bound = dice.random_range(0..self.products.len().max(1)) + 1;
                self.products.get(dice.random_range(0..bound)).copied()
            })
            .collect();
        products.sort_unstable();
        products.dedup();
        let quantities = products.iter().map(|_| dice.random_range(1..=3)).collect();
        let customer = self.customers.get(dice.random_range(0..self.customers.len().max(1)));
        let customer = customer.copied().unwrap_or(0);
        Draft { products, quantities, customer, earlier: last_order - dice.random_range(20..=400) }
    }
}

/// An order that chance made.
struct Draft {
    products: Vec<i64>,
    quantities: Vec<i64>,
    customer: i64,
    earlier: i64,
}

impl Stall {
    /// Places an order by chance, and now and then does something else before. Returns the order's id.
    fn step<'a>(
        &self,
        pool: &'a PgPool,
        still: &'a RwLock<()>,
        dice: &mut SmallRng,
        last_order: i64,
    ) -> impl Future<Output = Result<i64, sqlx::Error>> + use<'a> {
        let aside = self.aside(dice, last_order);
        let draft = self.draft(dice, last_order);
        async move {
            let _moving = still.read().await;
            if let Some(aside) = aside {
                aside.take(pool).await?;
            }
            place(pool, draft).await
        }
    }

    /// Makes up, one time in ten, something else than an order.
    fn aside(&self, dice: &mut SmallRng, last_order: i64) -> Option<Aside> {
        let one_of = |ids: &[i64], dice: &mut SmallRng| {
            ids.get(dice.random_range(0..ids.len().max(1))).copied().unwrap_or(0)
        };
        Some(match dice.random_range(0..100) {
            0..4 => Aside::Cancel(last_order - dice.random_range(0..=200)),
            4..7 => Aside::Reprice(one_of(&self.products, dice), dice.random_range(0.95..1.05)),
            7..8 => Aside::Revise(one_of(&self.products, dice), dice.random_range(2..100)),
            8..10 => Aside::Rename(one_of(&self.customers, dice), dice.random_range(2..100)),
            _ => return None,
        })
    }
}

/// What happens in a shop besides orders.
#[derive(Debug, Clone, Copy)]
enum Aside {
    Cancel(i64),
    Reprice(i64, f64),
    Revise(i64, i32),
    Rename(i64, i32),
}

impl Aside {
    async fn take(self, pool: &PgPool) -> Result<(), sqlx::Error> {
        let statement = match self {
            Self::Cancel(order) => sqlx::query(CANCEL).bind(order),
            Self::Reprice(product, by) => sqlx::query(REPRICE).bind(product).bind(by),
            Self::Revise(product, edition) => sqlx::query(REVISE).bind(product).bind(edition),
            Self::Rename(customer, number) => sqlx::query(RENAME).bind(customer).bind(number),
        };
        statement.execute(pool).await.map(drop)
    }
}

async fn place(pool: &PgPool, draft: Draft) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar(ORDER)
        .bind(draft.products)
        .bind(draft.quantities)
        .bind(draft.customer)
        .bind(draft.earlier)
        .fetch_one(pool)
        .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_gives_the_rate_and_saves_up_little() {
        let mut bucket = Bucket::default();
        let mut taken = 0;
        for _ in 0..1_000 {
            bucket.fill(250.0, Duration::from_millis(1));
            while bucket.take() {
                taken += 1;
            }
        }
        assert!((249..=250).contains(&taken), "{taken}");
        bucket.fill(250.0, Duration::from_secs(60));
        assert!(bucket.tokens <= 12.5, "{}", bucket.tokens);
    }

    #[test]
    fn an_empty_bucket_says_how_long_it_takes() {
        let mut bucket = Bucket::default();
        assert!(!bucket.take());
        assert_eq!(bucket.wait(10.0), Duration::from_millis(100));
        assert_eq!(bucket.wait(0.0), METER_INTERVAL);
    }

    #[test]
    fn a_rate_is_bounded() {
        let rates = [f64::NAN, -1.0, f64::INFINITY, 12.0].map(bounded);
        assert_eq!(rates, [0.0, 0.0, RATE_MAX, 12.0]);
    }
}
