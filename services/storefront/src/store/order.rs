//! Placing an order, and reading it back.
//!
//! # How it stays right
//! One transaction takes the stock, product by product in the order of their ids (so that two orders
//! never wait for each other in a circle), and writes the order. `UPDATE … WHERE stock >= n` sees what
//! a rival has committed by then: of two who want the last piece, one gets a row and one gets none.
//!
//! # Failure
//! The form's key is unique among orders. Whatever went wrong, an order with that key is the answer:
//! sent twice, or sent again after an answer was lost, a form is one order.
//!
//! # Where it is in the log
//! PostgreSQL tells no session the position of its own commit, and events carry the position at which
//! their commit *begins*. So where the log ends is read in the same message that commits: the next
//! commit from there on is this one, or one of the same microseconds. The end of the log after the
//! commit would not do: on an idle database nothing is ever committed at or behind it. The note is
//! made in the transaction that follows at once; a crash in between leaves an order without a receipt,
//! which says so.

use sqlx::postgres::PgRow;
use sqlx::{Acquire, PgConnection, Postgres, Row, Transaction};
use uuid::Uuid;

use crate::error::{Result, while_};
use crate::format::Cents;
use crate::picture::Look;
use crate::store::Store;

/// An order as it was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wish {
    /// Of the form.
    pub(crate) key: Uuid,
    pub(crate) name: String,
    pub(crate) email: String,
    /// By product, each once.
    pub(crate) lines: Vec<WishLine>,
}

/// One product that is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WishLine {
    pub(crate) product: i64,
    pub(crate) quantity: u32,
    /// The price that was shown.
    pub(crate) price: Cents,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It is placed; `is_new` unless its form was sent before.
    Placed { order: i64, is_new: bool },
    /// Nothing was ordered.
    Refused(Vec<Refusal>),
}

/// Why one line cannot be ordered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Fewer are left than are wanted.
    SoldOut { product: i64, name: String, left: i32 },
    /// It costs something else now.
    PriceChanged { product: i64, name: String, price: Cents },
    /// It is not sold any more.
    Gone { product: i64 },
}

/// An order with what is known of its commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Receipt {
    pub(crate) order: i64,
    pub(crate) customer: String,
    pub(crate) total: Cents,
    pub(crate) placed_us: i64,
    pub(crate) commit: Option<Commit>,
    pub(crate) items: Vec<Item>,
}

/// Where and when an order was committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Commit {
    /// The end of the log right before the commit.
    pub(crate) lsn: String,
    /// By the database's clock, in Unix time.
    pub(crate) at_us: i64,
}

/// One line of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Item {
    pub(crate) name: String,
    pub(crate) quantity: i32,
    pub(crate) price: Cents,
    pub(crate) look: Look,
}

impl Store {
    /// Places an order, or says why not.
    pub(crate) async fn place(&self, wish: &Wish) -> Result<Outcome> {
        let mut connection = self.people.acquire().await.map_err(while_("connecting to"))?;
        let failed = while_("placing an order in");
        let tried = place(&mut connection, wish).await;
        if let Ok(Outcome::Placed { .. }) = &tried {
            return tried.map_err(&failed);
        }
        drop(connection);
        // Another sending of the same form may have taken the stock, or the answer may be lost.
        match self.order_of(wish.key).await {
            Ok(Some(order)) => Ok(Outcome::Placed { order, is_new: false }),
            _ => tried.map_err(failed),
        }
    }

    async fn order_of(&self, key: Uuid) -> Result<Option<i64>, sqlx::Error> {
        sqlx::query_scalar("SELECT id FROM orders WHERE idempotency_key = $1::text::uuid")
            .bind(key.to_string())
            .fetch_optional(&self.people)
            .await
    }

    /// Reads an order back.
    pub(crate) async fn receipt(&self, order: i64) -> Result<Option<Receipt>> {
        type Head = (String, i64, i64, Option<String>, Option<i64>);
        let sql = "SELECT c.name, (o.total * 100)::bigint,
                (extract(epoch FROM o.placed_at) * 1000000)::bigint, r.commit_lsn,
                (extract(epoch FROM r.committed_at) * 1000000)::bigint
            FROM orders o JOIN customers c ON c.id = o.customer_id
            LEFT JOIN storefront.receipts r ON r.order_id = o.id WHERE o.id = $1";
        let head: Option<Head> = sqlx::query_as(sql)
            .bind(order)
            .fetch_optional(&self.people)
            .await
            .map_err(while_("reading"))?;
        let Some((customer, total, placed_us, lsn, at_us)) = head else { return Ok(None) };
        let commit = lsn.zip(at_us).map(|(lsn, at_us)| Commit { lsn, at_us });
        let items = self.items(order).await?;
        Ok(Some(Receipt { order, customer, total: Cents(total), placed_us, commit, items }))
    }

    async fn items(&self, order: i64) -> Result<Vec<Item>> {
        type Row = (String, i32, i64, String, i16, String);
        let sql = "SELECT p.name, i.quantity, (i.price * 100)::bigint, p.shape, p.hue, p.pattern
            FROM order_items i JOIN products p ON p.id = i.product_id
            WHERE i.order_id = $1 ORDER BY i.line";
        let rows: Vec<Row> = sqlx::query_as(sql)
            .bind(order)
            .fetch_all(&self.people)
            .await
            .map_err(while_("reading"))?;
        let item = |(name, quantity, cents, shape, hue, pattern): Row| Item {
            name,
            quantity,
            price: Cents(cents),
            look: Look::new(&shape, hue, &pattern),
        };
        Ok(rows.into_iter().map(item).collect())
    }
}

async fn place(connection: &mut PgConnection, wish: &Wish) -> Result<Outcome, sqlx::Error> {
    let mut transaction = connection.begin().await?;
    let mut refusals = Vec::new();
    let mut lines = wish.lines.clone();
    lines.sort_by_key(|line| line.product);
    for line in &lines {
        refusals.extend(take_stock(&mut transaction, *line).await?);
    }
    if !refusals.is_empty() {
        transaction.rollback().await?;
        return Ok(Outcome::Refused(refusals));
    }
    let Some(order) = insert(&mut transaction, wish, &lines).await? else {
        // The form was sent before; its stock goes back.
        transaction.rollback().await?;
        return Ok(Outcome::Refused(Vec::new()));
    };
    // One message: nothing comes between reading the position and the commit. What follows the commit
    // is a transaction again, so that the connection is what sqlx takes it for.
    let commit = "SELECT pg_current_wal_insert_lsn()::text; COMMIT AND CHAIN;
        SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint::text";
    let told = sqlx::raw_sql(commit).fetch_all(&mut *transaction).await?;
    if let Err(error) = note_commit(transaction, order, &told).await {
        tracing::warn!(error = %error, order, "the order's place in the log was not noted");
    }
    Ok(Outcome::Placed { order, is_new: true })
}

async fn take_stock(
    connection: &mut PgConnection,
    line: WishLine,
) -> Result<Option<Refusal>, sqlx::Error> {
    let product = line.product;
    let taken: Option<(String, i64)> = sqlx::query_as(
        "UPDATE products SET stock = stock - $2::int WHERE id = $1 AND is_listed AND stock >= $2::int
        RETURNING name, (price * 100)::bigint",
    )
    .bind(product)
    .bind(i64::from(line.quantity))
    .fetch_optional(&mut *connection)
    .await?;
    if let Some((name, cents)) = taken {
        let price = Cents(cents);
        return Ok((price != line.price).then_some(Refusal::PriceChanged { product, name, price }));
    }
    let left: Option<(String, i32)> =
        sqlx::query_as("SELECT name, stock FROM products WHERE id = $1 AND is_listed")
            .bind(product)
            .fetch_optional(&mut *connection)
            .await?;
    Ok(Some(match left {
        Some((name, left)) => Refusal::SoldOut { product, name, left },
        None => Refusal::Gone { product },
    }))
}

/// Writes the order, or nothing if its key is known.
async fn insert(
    connection: &mut PgConnection,
    wish: &Wish,
    lines: &[WishLine],
) -> Result<Option<i64>, sqlx::Error> {
    let sql = "INSERT INTO customers (email, name) VALUES ($1, $2)
        ON CONFLICT (email) DO UPDATE SET name = excluded.name RETURNING id";
    let customer: i64 = sqlx::query_scalar(sql)
        .bind(&wish.email)
        .bind(&wish.name)
        .fetch_one(&mut *connection)
        .await?;
    let sum = |line: &WishLine| line.price.0.saturating_mul(line.quantity.into());
    let total: i64 = lines.iter().map(sum).sum();
    let sql = "INSERT INTO orders (customer_id, channel, total, idempotency_key)
        VALUES ($1, 'web', $2::bigint::numeric / 100, $3::text::uuid)
        ON CONFLICT (idempotency_key) DO NOTHING RETURNING id";
    let order: Option<i64> = sqlx::query_scalar(sql)
        .bind(customer)
        .bind(total)
        .bind(wish.key.to_string())
        .fetch_optional(&mut *connection)
        .await?;
    let Some(order) = order else { return Ok(None) };
    let sql = "INSERT INTO order_items (order_id, line, product_id, quantity, price)
        SELECT $1, line, product, quantity, cents::numeric / 100
        FROM unnest($2::bigint[], $3::bigint[], $4::bigint[])
            WITH ORDINALITY AS wanted (product, quantity, cents, line)";
    sqlx::query(sql)
        .bind(order)
        .bind(lines.iter().map(|line| line.product).collect::<Vec<i64>>())
        .bind(lines.iter().map(|line| i64::from(line.quantity)).collect::<Vec<i64>>())
        .bind(lines.iter().map(|line| line.price.0).collect::<Vec<i64>>())
        .execute(&mut *connection)
        .await?;
    Ok(Some(order))
}

/// Notes where and when an order was committed. The order stands without it.
async fn note_commit(
    mut transaction: Transaction<'_, Postgres>,
    order: i64,
    told: &[PgRow],
) -> Result<(), sqlx::Error> {
    let text = |row: usize| -> Result<String, sqlx::Error> {
        told.get(row).ok_or(sqlx::Error::RowNotFound)?.try_get(0)
    };
    let sql = "INSERT INTO storefront.receipts (order_id, commit_lsn, committed_at)
        SELECT $1, $2, timestamptz 'epoch' + $3::text::bigint * interval '1 microsecond'";
    let noting = sqlx::query(sql).bind(order).bind(text(0)?).bind(text(1)?);
    noting.execute(&mut *transaction).await?;
    transaction.commit().await
}
