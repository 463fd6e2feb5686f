//! From the shelf to a receipt.

use crate::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn an_order_takes_stock_and_becomes_a_receipt() {
    let world = World::alone().await;
    let shelf = world.get("/shop").await;
    assert_eq!(shelf.status, 200);
    assert_eq!(shelf.body.matches("<svg class=\"picture\"").count(), 24);
    // GIVEN two things in the cart
    let (mug, bell) = (world.product("MUG-01").await, world.product("BEL-01").await);
    let added = world.post("/cart", &[("add", &mug.to_string()), ("quantity", "2")]).await;
    assert_eq!((added.status, added.location.as_str()), (303, "/cart"));
    assert!(added.cookie.contains(&format!("storefront_cart={mug}x2;")), "{added:?}");
    assert!(added.cookie.contains("HttpOnly; SameSite=Lax"), "{added:?}");
    let cart = format!("{mug}x2.{bell}x1");
    // WHEN they are ordered, by somebody whose name looks like markup
    let before = world.stock(mug).await;
    let placed = world.order(&cart, &[("name", "<b>Bob</b> & 'Co'"), ("email", "Bob@Example.com")]);
    let placed = placed.await;
    assert_eq!(placed.status, 303, "{placed:?}");
    assert!(placed.cookie.contains("storefront_cart=;") && placed.cookie.contains("Max-Age=0"));
    // THEN the order is whole
    assert_eq!(world.stock(mug).await, before - 2);
    let rows = world.postgres.rows(
        "SELECT o.total::text, o.channel, o.status::text, c.email, count(*)::text, sum(i.quantity)::text
        FROM orders o JOIN customers c ON c.id = o.customer_id JOIN order_items i ON i.order_id = o.id
        GROUP BY o.id, c.email",
    );
    let row: Vec<String> = rows.await.remove(0).into_iter().flatten().collect();
    assert_eq!(row, ["114.00", "web", "placed", "bob@example.com", "2", "3"]);
    // AND the receipt shows it, as text
    let receipt = world.get_told(&placed.location).await;
    assert_eq!(receipt.status, 200);
    assert!(receipt.body.contains("&lt;b&gt;Bob&lt;/b&gt; &amp; 'Co'"), "{}", receipt.body);
    assert!(receipt.body.contains("€\u{202f}114.00") && receipt.body.contains("committed"));
    // AND it tells that nobody can say what came after
    assert!(receipt.body.contains("told of no process to ask"), "{}", receipt.body);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_sent_twice_is_one_order() {
    let world = World::alone().await;
    // GIVEN the form for the last one of its kind
    let last = world.product("BEL-03").await;
    let form = world.form_of(&format!("{last}x1"), &[]).await;
    // WHEN it is sent twice at once, and once more
    let (one, two) = tokio::join!(world.send(&form), world.send(&form));
    let three = world.send(&form).await;
    // THEN all lead to the same receipt
    assert_eq!((one.status, two.status, three.status), (303, 303, 303), "{one:?} {two:?}");
    assert!(one.location == two.location && two.location == three.location);
    assert_eq!((world.count("orders").await, world.stock(last).await), (1, 0));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_who_want_the_last_one_gets_it_and_one_is_told() {
    let world = World::alone().await;
    let (last, mug) = (world.product("BEL-03").await, world.product("MUG-01").await);
    let before = world.stock(mug).await;
    let cart = format!("{last}x1.{mug}x1");
    let (mine, yours) = (world.form_of(&cart, &[]).await, world.form_of(&cart, &[]).await);
    assert_ne!(mine["key"], yours["key"]);
    let (one, two) = tokio::join!(world.send(&mine), world.send(&yours));
    let (winner, loser) = if one.status == 303 { (one, two) } else { (two, one) };
    assert_eq!((winner.status, loser.status), (303, 409), "{winner:?}\n{loser:?}");
    assert!(loser.body.contains("Last bell is sold out: somebody else was quicker."), "{loser:?}");
    // Nothing of the other thing was taken for the order that was not.
    assert_eq!((world.count("orders").await, world.stock(last).await), (1, 0));
    assert_eq!(world.stock(mug).await, before - 1);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn quantities_that_make_no_sense_are_refused_with_a_message() {
    let world = World::alone().await;
    let mug = world.product("MUG-01").await.to_string();
    let field = format!("q{mug}");
    for (quantity, word) in [
        ("-3", "below zero"),
        ("0", "orders nothing"),
        ("100", "too many"),
        ("18446744073709551617", "too many"),
        ("<b>", "&lt;b&gt;"),
        ("", "quantity is empty"),
    ] {
        let added = world.post("/cart", &[("add", &mug), ("quantity", quantity)]).await;
        assert_eq!((added.status, added.cookie.as_str()), (422, ""), "{quantity}");
        assert!(added.body.contains(word), "{quantity}: {}", added.body);
        let cart = format!("{mug}x1");
        let ordered = world.order(&cart, &[(&field, quantity)]).await;
        assert_eq!(ordered.status, 422, "{quantity}");
        assert!(ordered.body.contains(word), "{quantity}: {}", ordered.body);
        let updated = world.post("/cart", &[("update", "all"), (&field, quantity)]).await;
        assert_eq!(updated.status, 422, "{quantity}");
    }
    for (name, value) in [("key", "x"), ("email", "nobody"), ("name", " "), ("name", "a\u{0}b")] {
        let ordered = world.order(&format!("{mug}x1"), &[(name, value)]).await;
        assert_eq!(ordered.status, 422, "{name}");
    }
    assert_eq!(world.count("orders").await, 0);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_than_there_is_and_other_prices_are_told_before_anything_is_ordered() {
    let world = World::alone().await;
    let (bell, mug) = (world.product("BEL-01").await, world.product("MUG-01").await);
    let refused = world.order(&format!("{bell}x50"), &[]).await;
    assert_eq!(refused.status, 409);
    assert!(refused.body.contains("Of Gate bell only 12 are left."), "{}", refused.body);
    let form = world.form_of(&format!("{mug}x1"), &[]).await;
    world.postgres.sql("UPDATE products SET price = 99 WHERE sku = 'MUG-01'").await;
    let refused = world.send(&form).await;
    assert_eq!(refused.status, 409);
    assert!(refused.body.contains("costs €\u{202f}99.00 now"), "{}", refused.body);
    assert_eq!(world.count("orders").await, 0);
    assert_eq!(world.stock(bell).await, 12);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_survives_the_loss_of_its_answer() {
    let world = World::alone().await;
    let mug = world.product("MUG-01").await;
    let form = world.form_of(&format!("{mug}x1"), &[]).await;
    // GIVEN a database that is away
    world.postgres.stop().await;
    let lost = world.send(&form).await;
    assert_eq!(lost.status, 503);
    assert!(lost.body.contains("cannot be placed twice") && lost.body.contains(&form["key"]));
    assert_eq!(world.get("/shop").await.status, 503);
    assert_eq!(world.get("/readyz").await.status, 503);
    assert_eq!(world.get("/healthz").await.status, 200);
    // WHEN it is back
    world.postgres.start_again().await;
    let placed = world.send(&form).await;
    assert_eq!(placed.status, 303, "{placed:?}");
    assert_eq!(world.count("orders").await, 1);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cart_is_changed_and_emptied() {
    let world = World::alone().await;
    let empty = world.get("/cart").await;
    assert!(empty.body.contains("Nothing is in the cart"), "{}", empty.body);
    let (one, two) = ("1", "2");
    let fields = [("update", "all"), ("q1", "3"), ("q2", "4")];
    let updated = world.post("/cart", &fields).await;
    assert!(updated.cookie.starts_with("storefront_cart=1x3.2x4;"), "{updated:?}");
    let removed = world.post("/cart", &[("remove", one), ("q1", "3"), ("q2", "4")]).await;
    assert!(removed.cookie.starts_with("storefront_cart=2x4;"), "{removed:?}");
    let removed = world.post("/cart", &[("remove", two), ("q2", "4")]).await;
    assert!(removed.cookie.contains("Max-Age=0"), "{removed:?}");
    for path in ["/products/999999", "/products/x", "/orders/999999", "/orders/x", "/nothing"] {
        assert_eq!(world.get(path).await.status, 404, "{path}");
    }
    world.stop().await;
}
