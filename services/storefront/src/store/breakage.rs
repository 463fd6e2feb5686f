//! Changes that are trouble on purpose.

use crate::error::{Result, while_};
use crate::store::Store;

/// Added columns at most: each stays in every copy for good.
const ADDED_MAX: i64 = 16;

impl Store {
    /// Puts a product on no shelf that weighs `NaN`, and returns its name. PostgreSQL holds that in a
    /// `numeric`; a `DECIMAL` of the warehouse does not.
    pub(crate) async fn add_unholdable_product(&self) -> Result<String> {
        let sql = "WITH next AS (SELECT nextval(pg_get_serial_sequence('products', 'id')) AS id)
            INSERT INTO products
                (id, sku, name, description, price, stock, shape, hue, pattern, weight_kg, is_listed)
            SELECT id, 'LAB-' || id, 'Specimen ' || id, 'Its weight is no number.', 0, 0, 'gauge', 0,
                'plain', 'NaN', false FROM next
            RETURNING name";
        let name = sqlx::query_scalar(sql).fetch_one(&self.people).await;
        name.map_err(while_("changing"))
    }

    /// Adds a column to `products` and fills it in one row, so that a row of the new form is sent.
    /// Returns its name, or none if there are enough.
    pub(crate) async fn add_column(&self) -> Result<Option<String>> {
        let failed = while_("changing");
        let mut transaction = self.people.begin().await.map_err(&failed)?;
        // Two who add at once take turns.
        let lock = "SELECT pg_advisory_xact_lock(hashtextextended('penstock-storefront-lab', 0))";
        sqlx::query(lock).execute(&mut *transaction).await.map_err(&failed)?;
        let sql = "SELECT count(*) FROM information_schema.columns WHERE table_schema = 'public'
            AND table_name = 'products' AND column_name LIKE 'lab\\_%'";
        let count: i64 =
            sqlx::query_scalar(sql).fetch_one(&mut *transaction).await.map_err(&failed)?;
        if count >= ADDED_MAX {
            return Ok(None);
        }
        let name = format!("lab_{}", count + 1);
        let alter = format!("ALTER TABLE products ADD COLUMN {name} text");
        let fill = format!(
            "UPDATE products SET {name} = 'added while it ran'
            WHERE id = (SELECT min(id) FROM products WHERE is_listed)"
        );
        for sql in [alter, fill] {
            // The name is a number of ours behind a fixed word.
            let sql = sqlx::AssertSqlSafe(sql);
            sqlx::query(sql).execute(&mut *transaction).await.map_err(&failed)?;
        }
        transaction.commit().await.map_err(failed)?;
        Ok(Some(name))
    }
}
