//! The load dial, and breaking things.

use testkit::server::postgres::{Postgres, Version};
use testkit::server::until;

use crate::world::{PATIENCE, Script, Scripted, World, config, projection, running};

#[tokio::test(flavor = "multi_thread")]
async fn the_dial_places_orders_that_move_on_and_take_no_stock() {
    let world = World::alone().await;
    let stock = world.postgres.value("SELECT sum(stock) FROM products").await;
    let set = world.post("/lab/rate", &[("preset", "1000")]).await;
    assert_eq!((set.status, set.location.as_str()), (303, "/lab"));
    let moved = "SELECT count(*) FROM orders WHERE channel = 'load' AND status <> 'placed'";
    until("orders move on", PATIENCE, async || world.postgres.value(moved).await != "0").await;
    for happens in [
        "SELECT count(*) > 0 FROM customers WHERE name LIKE 'Customer % %'",
        "SELECT count(*) > 0 FROM products WHERE manual LIKE 'Edition %'",
        "SELECT count(*) > 0 FROM products WHERE price::text LIKE '%.%1'",
        "SELECT count(*) < max(id) FROM orders",
    ] {
        until(happens, PATIENCE, async || world.postgres.value(happens).await == "t").await;
    }
    assert!(!world.get_told("/lab").await.body.contains("No order was placed."));
    // WHEN the dial is turned back
    world.shop.set_rate(0.0);
    let metrics = world.get("/metrics").await.body;
    assert!(metrics.contains("penstock_storefront_load_wanted_per_second 0"), "{metrics}");
    // THEN no order is half there
    let whole = "SELECT count(*) FROM orders o WHERE total IS DISTINCT FROM
        (SELECT sum(quantity * price) FROM order_items i WHERE i.order_id = o.id)";
    assert_eq!(world.postgres.value(whole).await, "0");
    assert_eq!(world.postgres.value("SELECT sum(stock) FROM products").await, stock);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dial_outlives_its_database() {
    let postgres = Postgres::start(Version::V18).await;
    let mut config = config(&postgres, &[]);
    config.rate = 200.0;
    let world = World::with(postgres, config).await;
    until("orders come", PATIENCE, async || world.count("orders").await > 0).await;
    world.postgres.stop().await;
    until("the lab says so", PATIENCE, async || {
        world.get_told("/lab").await.body.contains("No order was placed.")
    })
    .await;
    world.postgres.start_again().await;
    let before = world.count("orders").await;
    until("orders come again", PATIENCE, async || world.count("orders").await > before).await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rates_that_make_no_sense_are_refused() {
    let world = World::alone().await;
    for rate in ["-1", "NaN", "inf", "10001", "many", ""] {
        let refused = world.post("/lab/rate", &[("rate", rate)]).await;
        assert_eq!(refused.status, 422, "{rate}");
        assert!(refused.body.contains("is no rate"), "{rate}: {}", refused.body);
    }
    assert_eq!(world.post("/lab/rate", &[("rate", " 2.5 ")]).await.status, 303);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn breakages_change_the_source_and_leave_the_shelf_as_it_was() {
    let world = World::alone().await;
    assert_eq!(world.post("/lab/poison", &[]).await.status, 303);
    let sql = "SELECT weight_kg::text || ' ' || is_listed FROM products WHERE sku LIKE 'LAB-%'";
    assert_eq!(world.postgres.value(sql).await, "NaN false");
    for _ in 0..17 {
        assert_eq!(world.post("/lab/column", &[]).await.status, 303);
    }
    let sql = "SELECT count(*) FROM information_schema.columns
        WHERE table_name = 'products' AND column_name LIKE 'lab\\_%'";
    assert_eq!(world.postgres.value(sql).await, "16");
    let page = world.get_told("/lab").await.body;
    assert!(
        page.contains("has a column lab_16 now") && page.contains("There are enough"),
        "{page}"
    );
    assert!(world.get("/shop").await.body.matches("class=\"picture\"").count() == 24);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_projection_is_held_and_let_go() {
    let status = running(vec![projection("duckdb", "duckdb")]);
    let control = Scripted::start(Script { status, ..Script::default() }).await;
    let world = World::start(&[&control.address]).await;
    world.post("/lab/pause", &[("target", "duckdb")]).await;
    let page = world.get_told("/lab").await.body;
    assert!(page.contains("paused") && page.contains("Resume"), "{page}");
    world.post("/lab/resume", &[("target", "duckdb")]).await;
    world.post("/lab/pause", &[("target", "<b>none</b>")]).await;
    assert_eq!(control.asked(), ["Paused duckdb", "Running duckdb"]);
    let page = world.get_told("/lab").await.body;
    assert!(page.contains("&lt;b&gt;none&lt;/b&gt;") && page.contains("runs it"), "{page}");
    world.stop().await;
    control.stop().await;
}
