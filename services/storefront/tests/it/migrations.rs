//! The shop's tables: made once, by whoever comes first, and never on top of others'.

use storefront::{Error, Storefront, StorefrontConfig};
use testkit::server::postgres::{Postgres, Version};

#[tokio::test(flavor = "multi_thread")]
async fn tables_are_made_once_however_many_open_the_shop() {
    for version in Version::ALL {
        let postgres = Postgres::start(version).await;
        let open = || Storefront::open(StorefrontConfig::new(postgres.dsn("postgres")));
        let (one, two) = tokio::join!(open(), open());
        drop((one.unwrap(), two.unwrap()));
        postgres.sql("UPDATE products SET stock = 7 WHERE id = 1").await;
        drop(open().await.unwrap());
        let sql = "SELECT count(*) || ' ' || min(stock) FILTER (WHERE id = 1) FROM products";
        assert_eq!(postgres.value(sql).await, "24 7");
        // Every table that is captured has a key, and nothing of the shop's own stands beside them.
        let sql = "SELECT string_agg(relname, ' ' ORDER BY relname) FROM pg_class c
            WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND relreplident = 'd'
            AND EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary)";
        assert_eq!(postgres.value(sql).await, "customers order_items orders products");
        let sql = "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace
            AND relkind = 'r'";
        assert_eq!(postgres.value(sql).await, "4");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_of_others_are_left_alone() {
    let postgres = Postgres::start(Version::V18).await;
    postgres.sql("CREATE TABLE products (id int)").await;
    let refused = Storefront::open(StorefrontConfig::new(postgres.dsn("postgres"))).await;
    assert!(
        matches!(&refused, Err(Error::Foreign { table }) if table == "products"),
        "{refused:?}"
    );
    assert_eq!(postgres.value("SELECT to_regnamespace('storefront') IS NULL").await, "t");
}

#[tokio::test(flavor = "multi_thread")]
async fn stock_and_prices_are_the_databases_business_too() {
    let postgres = Postgres::start(Version::V18).await;
    drop(Storefront::open(StorefrontConfig::new(postgres.dsn("postgres"))).await.unwrap());
    let client = postgres.client().await;
    for sql in [
        "UPDATE products SET stock = -1",
        "UPDATE products SET price = -1",
        "INSERT INTO order_items VALUES (1, 1, 1, 1, 1)",
    ] {
        assert!(client.batch_execute(sql).await.is_err(), "{sql}");
    }
}
