//! How the business goes: from the warehouse alone, through `Control.Query`.
//!
//! Times are whole numbers there (microseconds since 1970), for DuckDB reckons with time zones only by
//! an extension. Figures are asked for at most every two seconds, however many look.

use std::sync::Arc;
use std::time::Duration;

use cdc_control::v1;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::control::{Controls, Silence};
use crate::format::Cents;
use crate::picture::Look;

/// Minutes of the charts.
pub(crate) const MINUTES: i64 = 60;

const MINUTE_US: i64 = 60_000_000;

/// How long an answer is good.
const KEPT: Duration = Duration::from_secs(2);

/// What the warehouse knows.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Figures {
    /// The last hour, oldest first; the last minute is under way.
    pub(crate) minutes: Vec<Minute>,
    pub(crate) top: Vec<Top>,
    /// All orders there are.
    pub(crate) orders: u64,
    /// By the warehouse's clock.
    pub(crate) now_us: i64,
    pub(crate) newest_us: i64,
    pub(crate) asked: Instant,
    pub(crate) lag: Lag,
}

/// One minute of business.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Minute {
    pub(crate) orders: u64,
    pub(crate) revenue: Cents,
}

/// A product that sells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Top {
    pub(crate) name: String,
    pub(crate) look: Look,
    pub(crate) sold: u64,
    pub(crate) revenue: Cents,
}

/// How far the warehouse is behind the source, as it says itself.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Lag {
    pub(crate) seconds: Option<f64>,
    pub(crate) records: Option<u64>,
    /// Why it does not move, if it does not.
    pub(crate) state: Option<v1::State>,
}

/// What the page shows.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum View {
    Figures(Box<Figures>),
    /// The warehouse answers and holds no order.
    Empty,
    Silent(Silence),
}

/// The newest view.
#[derive(Debug, Default)]
pub(crate) struct Business(Mutex<Option<(Instant, Arc<View>)>>);

impl Business {
    /// Returns figures of at most two seconds ago. Who asks at the same time shares the answer.
    pub(crate) async fn view(&self, controls: &Controls) -> Arc<View> {
        let mut kept = self.0.lock().await;
        if let Some((asked, view)) = kept.as_ref()
            && asked.elapsed() < KEPT
        {
            return Arc::clone(view);
        }
        let view = Arc::new(ask(controls).await.unwrap_or_else(View::Silent));
        *kept = Some((Instant::now(), Arc::clone(&view)));
        view
    }
}

async fn ask(controls: &Controls) -> Result<View, Silence> {
    let tables = "SELECT count(*) FROM information_schema.tables
        WHERE table_name IN ('public_orders', 'public_order_items', 'public_products')";
    if number(&controls.query(tables).await?, 0, 0) != Some(3) {
        return Ok(View::Empty);
    }
    // All from one query, so that one figure does not contradict another while orders come in.
    let sums = controls.query(&minutes_sql()).await?;
    let Some(now_us) = number(&sums, 0, 4) else { return Ok(View::Empty) };
    let first = now_us.div_euclid(MINUTE_US) - MINUTES + 1;
    let top = controls.query(&top_sql(first)).await?;
    let lag = controls.status().await.map(|heard| lag(&heard.told)).unwrap_or_default();
    Ok(View::Figures(Box::new(Figures {
        minutes: fill(&sums, first),
        top: read_top(&top),
        orders: u64::try_from(column(&sums, 1).sum::<i64>()).unwrap_or(0),
        now_us,
        newest_us: column(&sums, 3).max().unwrap_or(now_us),
        asked: Instant::now(),
        lag,
    })))
}

/// Orders by minute; those before the last hour are one row.
fn minutes_sql() -> String {
    format!(
        "SELECT greatest(epoch_us(placed_at) // {MINUTE_US}, epoch_us(now()) // {MINUTE_US} - {MINUTES})
                AS minute,
            count(*) AS orders, CAST(sum(total) * 100 AS BIGINT) AS cents,
            max(epoch_us(placed_at)) AS newest_us, epoch_us(now()) AS now_us
        FROM public_orders GROUP BY 1 ORDER BY 1"
    )
}

fn top_sql(first: i64) -> String {
    format!(
        "SELECT p.name, p.shape, p.hue, p.pattern, sum(i.quantity) AS sold,
            CAST(sum(i.quantity * i.price) * 100 AS BIGINT) AS cents
        FROM public_order_items i JOIN public_orders o ON o.id = i.order_id
        JOIN public_products p ON p.id = i.product_id
        WHERE epoch_us(o.placed_at) >= {}
        GROUP BY p.id, p.name, p.shape, p.hue, p.pattern ORDER BY cents DESC, p.name LIMIT 8",
        first * MINUTE_US
    )
}

/// Puts minutes in their places; one without orders has none.
fn fill(reply: &v1::QueryReply, first: i64) -> Vec<Minute> {
    let mut minutes: Vec<Minute> = (0..MINUTES).map(|_| Minute::default()).collect();
    for row in 0..reply.rows.len() {
        let Some(minute) = number(reply, row, 0) else { continue };
        let slot = usize::try_from(minute - first).ok().and_then(|index| minutes.get_mut(index));
        if let Some(slot) = slot {
            let count = |column| number(reply, row, column).unwrap_or(0);
            slot.orders = u64::try_from(count(1)).unwrap_or(0);
            slot.revenue = Cents(count(2));
        }
    }
    minutes
}

fn read_top(reply: &v1::QueryReply) -> Vec<Top> {
    let top = |row: usize| {
        let hue = number(reply, row, 2).and_then(|hue| i16::try_from(hue).ok()).unwrap_or(0);
        let word = |column| text(reply, row, column).unwrap_or_default();
        Some(Top {
            name: text(reply, row, 0)?.to_owned(),
            look: Look::new(word(1), hue, word(3)),
            sold: u64::try_from(number(reply, row, 4)?).ok()?,
            revenue: Cents(number(reply, row, 5)?),
        })
    };
    (0..reply.rows.len()).filter_map(top).collect()
}

fn lag(status: &v1::StatusReply) -> Lag {
    let is_warehouse = |projection: &&v1::Projection| {
        projection.kind == "duckdb" || ["duckdb", "warehouse"].contains(&projection.name.as_str())
    };
    let found = status.projections.iter().find(is_warehouse);
    found.map_or_else(Lag::default, |projection| Lag {
        seconds: projection.lag_seconds,
        records: projection.lag_records,
        state: Some(projection.state()).filter(|state| *state != v1::State::Running),
    })
}

fn text(reply: &v1::QueryReply, row: usize, column: usize) -> Option<&str> {
    reply.rows.get(row)?.cells.get(column)?.text.as_deref()
}

/// Returns the numbers of a column.
fn column(reply: &v1::QueryReply, column: usize) -> impl Iterator<Item = i64> {
    (0..reply.rows.len()).filter_map(move |row| number(reply, row, column))
}

fn number(reply: &v1::QueryReply, row: usize, column: usize) -> Option<i64> {
    text(reply, row, column)?.parse().ok()
}
