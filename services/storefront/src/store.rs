//! The source database: the shop's tables, and the questions asked of them.

use std::str::FromStr;
use std::time::Duration;

use sqlx::ConnectOptions;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};

use crate::config::Secret;
use crate::error::{Error, Result, while_};
use crate::format::Cents;
use crate::picture::Look;

pub(crate) mod breakage;
pub(crate) mod order;

/// Connections for people.
const CONNECTIONS_MAX: u32 = 8;

/// Connections for the load, apart from those for people.
pub(crate) const LOAD_CONNECTIONS_MAX: u32 = 8;

/// How long a page waits for a connection.
const CONNECT_PATIENCE: Duration = Duration::from_secs(3);

/// Tables that must be ours.
const TABLES: [&str; 4] = ["customers", "order_items", "orders", "products"];

/// The shop's database.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    pub(crate) people: PgPool,
    pub(crate) load: PgPool,
}

/// Something to buy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Product {
    pub(crate) id: i64,
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) price: Cents,
    pub(crate) stock: i32,
    pub(crate) look: Look,
}

type ProductRow = (i64, String, String, i64, i32, String, i16, String);

impl From<ProductRow> for Product {
    fn from((id, name, description, cents, stock, shape, hue, pattern): ProductRow) -> Self {
        let look = Look::new(&shape, hue, &pattern);
        Self { id, name, description, price: Cents(cents), stock, look }
    }
}

impl Store {
    /// Connects, and brings the tables to this program's version. `password` wins over the URL's.
    pub(crate) async fn open(url: &Secret, password: Option<&Secret>) -> Result<Self> {
        let mut options = PgConnectOptions::from_str(url.reveal()).map_err(|_| Error::Url)?;
        if let Some(password) = password {
            options = options.password(password.reveal());
        }
        let options = options
            .application_name("penstock-storefront")
            .options([
                ("search_path", "public"),
                ("lock_timeout", "5s"),
                ("statement_timeout", "10s"),
                ("idle_in_transaction_session_timeout", "30s"),
            ])
            .disable_statement_logging();
        let pool =
            |size| PgPoolOptions::new().max_connections(size).acquire_timeout(CONNECT_PATIENCE);
        let people = pool(CONNECTIONS_MAX).connect_with(options.clone()).await;
        let people = people.map_err(while_("connecting to"))?;
        let store = Self { people, load: pool(LOAD_CONNECTIONS_MAX).connect_lazy_with(options) };
        store.migrate().await?;
        Ok(store)
    }

    /// Runs the migrations that have not been run. Their register is in a schema of its own, beside
    /// what a pipeline captures.
    async fn migrate(&self) -> Result<()> {
        self.refuse_foreign_tables().await?;
        let mut migrator = sqlx::migrate!("../../migrations/storefront");
        migrator.create_schema("storefront");
        migrator.dangerous_set_table_name("storefront.migrations");
        migrator.run(&self.people).await.map_err(|source| Error::Migrate(Box::new(source)))
    }

    async fn refuse_foreign_tables(&self) -> Result<()> {
        let sql = "SELECT table_name::text FROM information_schema.tables
            WHERE table_schema = 'public' AND table_name = ANY($1)
            AND to_regclass('storefront.migrations') IS NULL ORDER BY 1 LIMIT 1";
        let names: Vec<String> = TABLES.map(str::to_owned).to_vec();
        let found: Option<String> = sqlx::query_scalar(sql)
            .bind(names)
            .fetch_optional(&self.people)
            .await
            .map_err(while_("reading"))?;
        found.map_or(Ok(()), |table| Err(Error::Foreign { table }))
    }

    /// Returns what is on the shelves.
    pub(crate) async fn products(&self) -> Result<Vec<Product>> {
        let sql = "SELECT id, name, description, (price * 100)::bigint, stock, shape, hue, pattern
            FROM products WHERE is_listed ORDER BY id LIMIT 200";
        let rows: Vec<ProductRow> =
            sqlx::query_as(sql).fetch_all(&self.people).await.map_err(while_("reading"))?;
        Ok(rows.into_iter().map(Product::from).collect())
    }

    /// Returns those of these products that are on the shelves.
    pub(crate) async fn products_of(&self, ids: Vec<i64>) -> Result<Vec<Product>> {
        let sql = "SELECT id, name, description, (price * 100)::bigint, stock, shape, hue, pattern
            FROM products WHERE is_listed AND id = ANY($1) ORDER BY id";
        let rows: Vec<ProductRow> = sqlx::query_as(sql)
            .bind(ids)
            .fetch_all(&self.people)
            .await
            .map_err(while_("reading"))?;
        Ok(rows.into_iter().map(Product::from).collect())
    }

    /// Asks whether the database answers.
    pub(crate) async fn ping(&self) -> Result<()> {
        let asked = sqlx::query("SELECT 1").execute(&self.people).await;
        asked.map(drop).map_err(while_("asking"))
    }

    /// Closes every connection.
    pub(crate) async fn close(&self) {
        self.people.close().await;
        self.load.close().await;
    }
}
