//! What a receipt tells of the way of its order.

use cdc_control::v1;
use futures_util::StreamExt;
use reqwest::Method;

use crate::world::{PATIENCE, Script, Scripted, World, projection, running};

fn pipeline() -> v1::StatusReply {
    running(vec![
        projection("audit", "audit"),
        projection("search", "search"),
        projection("warehouse", "duckdb"),
    ])
}

async fn place(world: &World) -> (String, i64) {
    let mug = world.product("MUG-01").await;
    let placed = world.order(&format!("{mug}x1"), &[]).await;
    assert_eq!(placed.status, 303, "{placed:?}");
    let sql = "SELECT (extract(epoch FROM committed_at) * 1000000)::bigint
        FROM storefront.receipts ORDER BY order_id DESC";
    (placed.location, world.postgres.value(sql).await.parse().unwrap())
}

fn rung(name: &str, at_us: i64) -> v1::TraceRung {
    v1::TraceRung { name: name.to_owned(), at_us }
}

/// Reads a stream until what it sent holds `text`.
async fn read_until(stream: &mut (impl StreamExt<Item = String> + Unpin), text: &str) -> String {
    let mut seen = String::new();
    let reading = async {
        while !seen.contains(text) {
            seen.push_str(&stream.next().await.expect("the stream goes on"));
        }
    };
    tokio::time::timeout(PATIENCE, reading).await.expect("it comes");
    seen
}

async fn follow(world: &World, path: &str) -> impl StreamExt<Item = String> + Unpin + use<> {
    let response = world.request(Method::GET, path).send().await.unwrap();
    assert_eq!(response.status().as_u16(), 200);
    let chunk = |bytes: reqwest::Result<_>| {
        let bytes: Vec<u8> = AsRef::<[u8]>::as_ref(&bytes.unwrap()).to_vec();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    Box::pin(futures_util::stream::unfold(response, move |mut response| async move {
        let bytes = response.chunk().await.transpose()?;
        Some((chunk(bytes), response))
    }))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_follows_its_order_rung_by_rung() {
    let control = Scripted::start(Script { status: pipeline(), ..Script::default() }).await;
    let world = World::start(&[&control.address]).await;
    let (receipt, at) = place(&world).await;
    // GIVEN nothing has come anywhere
    let page = world.get_told(&receipt).await;
    assert_eq!(page.body.matches("not there yet").count(), 4, "{}", page.body);
    assert!(page.body.contains("<meta http-equiv=\"refresh\""), "{}", page.body);
    let mut stream = follow(&world, &format!("{receipt}/trace")).await;
    read_until(&mut stream, "not there yet").await;
    // WHEN it comes to the log, by a clock that is behind, and to the warehouse
    let some = vec![rung("appended", at - 5_000), rung("warehouse", at + 23_400)];
    control.change(|script| script.rungs.clone_from(&some));
    let seen = read_until(&mut stream, "in the warehouse after 23\u{202f}ms").await;
    assert!(seen.contains("in the log after 0\u{202f}ms"), "{seen}");
    assert!(seen.contains("not yet searchable") && !seen.contains("event: done"), "{seen}");
    // AND everywhere
    control.change(|script| {
        script.rungs.extend([rung("search", at + 19_000), rung("audit", at + 11_000)]);
    });
    let seen = read_until(&mut stream, "event: done").await;
    assert!(seen.contains("Everywhere within 23\u{202f}ms"), "{seen}");
    // THEN the stream ends, and the page needs none
    assert!(stream.next().await.is_none());
    let page = world.get_told(&receipt).await;
    assert!(!page.body.contains("data-live") && page.body.contains("searchable after 19"));
    // AND what was asked for is where the log ended before the commit
    let lsn = world.postgres.value("SELECT commit_lsn FROM storefront.receipts").await;
    assert!(control.asked().iter().all(|asked| *asked == lsn), "{:?}", control.asked());
    world.stop().await;
    control.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_held_says_why() {
    let mut status = pipeline();
    status.projections[0].state = v1::State::Paused.into();
    status.projections[1].state = v1::State::Halted.into();
    let halt = v1::Halt {
        code: "X_LOST".to_owned(),
        message: "<i>x</i>".to_owned(),
        ..Default::default()
    };
    status.projections[1].halt = Some(halt);
    let control = Scripted::start(Script { status, ..Script::default() }).await;
    let world = World::start(&[&control.address]).await;
    let (receipt, _) = place(&world).await;
    let page = world.get_told(&receipt).await;
    assert!(page.body.contains("It is paused."), "{}", page.body);
    assert!(page.body.contains("It halted: &lt;i&gt;x&lt;/i&gt; (X_LOST)."), "{}", page.body);
    world.stop().await;
    control.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shop_whose_control_is_away_sells_and_says_so() {
    let nobody = format!("127.0.0.1:{}", testkit::server::free_port());
    let world = World::start(&[&nobody]).await;
    let (receipt, _) = place(&world).await;
    let mut stream = follow(&world, &format!("{receipt}/trace")).await;
    let seen = read_until(&mut stream, "cannot be told").await;
    assert!(seen.contains(&nobody) && seen.contains("the shop goes on selling"), "{seen}");
    // A stop does not wait for whoever follows.
    tokio::time::timeout(PATIENCE / 2, world.stop()).await.expect("it stops");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_several_processes_each_tells_its_part() {
    let capture =
        Scripted::start(Script { status: running(Vec::new()), ..Script::default() }).await;
    let status =
        v1::StatusReply { projections: pipeline().projections, ..v1::StatusReply::default() };
    let projector = Scripted::start(Script { status, ..Script::default() }).await;
    let away = format!("127.0.0.1:{}", testkit::server::free_port());
    let world = World::start(&[&away, &capture.address, &projector.address]).await;
    let (receipt, at) = place(&world).await;
    capture.change(|script| script.rungs = vec![rung("appended", at + 4_000)]);
    projector.change(|script| {
        let names = ["warehouse", "search", "audit"];
        script.rungs = names.iter().map(|name| rung(name, at + 1_500_000)).collect();
    });
    let mut stream = follow(&world, &format!("{receipt}/trace")).await;
    let seen = read_until(&mut stream, "in the audit log after 1.5\u{202f}s").await;
    assert!(seen.contains("in the log after 4\u{202f}ms"), "{seen}");
    // What the absent one runs is not known, so this is not everywhere.
    assert!(seen.contains(&away) && !seen.contains("Everywhere"), "{seen}");
    world.stop().await;
    capture.stop().await;
    projector.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_position_of_an_order_lies_between_the_commit_before_it_and_its_own() {
    let world = World::alone().await;
    world.postgres.sql("CREATE PUBLICATION p FOR TABLE orders").await;
    world.postgres.sql("SELECT pg_create_logical_replication_slot('s', 'pgoutput')").await;
    for _ in 0..3 {
        place(&world).await;
    }
    // The commit message of pgoutput: its kind, flags, then where the commit begins.
    let commits = "SELECT row_number() OVER (ORDER BY lsn) AS n,
            ('x' || encode(substr(data, 3, 8), 'hex'))::bit(64)::bigint AS begins
        FROM pg_logical_slot_peek_binary_changes('s', NULL, NULL,
            'proto_version', '1', 'publication_names', 'p') WHERE get_byte(data, 0) = ascii('C')";
    let sql = format!(
        "SELECT count(*) FROM (SELECT n, begins, lag(begins, 1, 0) OVER (ORDER BY n) AS before FROM ({commits}) c) c
        JOIN (SELECT row_number() OVER (ORDER BY order_id) AS n, (commit_lsn::pg_lsn - '0/0')::bigint AS lsn
            FROM storefront.receipts) r USING (n)
        WHERE before < lsn AND lsn <= begins"
    );
    assert_eq!(world.postgres.value(&sql).await, "3");
    world.stop().await;
}
