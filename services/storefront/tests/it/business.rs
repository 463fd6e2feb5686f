//! The business view: the warehouse's figures, and nothing of the source.

use cdc_control::v1;

use crate::world::{Script, Scripted, World, projection, reply, running};

const MINUTE: i64 = 60_000_000;

fn warehouse(lag: f64, records: u64) -> v1::StatusReply {
    let mut warehouse = projection("duckdb", "duckdb");
    warehouse.lag_seconds = Some(lag);
    warehouse.lag_records = Some(records);
    running(vec![warehouse])
}

fn figures() -> Vec<(&'static str, v1::QueryReply)> {
    let now = 29_000_000 * MINUTE + 30_000_000;
    let older = (now / MINUTE - 60).to_string();
    let (minute, before) = ((now / MINUTE).to_string(), (now / MINUTE - 1).to_string());
    vec![
        ("information_schema", reply(&[&["3"]])),
        (
            "GROUP BY 1",
            reply(&[
                &[&older, "12296", "99", "5", &now.to_string()],
                &[&before, "42", "123450", "6", &now.to_string()],
                &[&minute, "7", "5000", &(now - 12_000_000).to_string(), &now.to_string()],
            ]),
        ),
        ("order_items", reply(&[&["<script>x</script>", "bell", "40", "band", "9", "80100"]])),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn figures_come_from_the_warehouse_and_say_how_old_they_are() {
    let script = Script { status: warehouse(0.023, 17), answers: figures(), ..Script::default() };
    let control = Scripted::start(script).await;
    let world = World::start(&[&control.address]).await;
    // GIVEN a source that is away, so that it cannot be where the figures come from
    world.postgres.stop().await;
    let page = world.get_told("/business").await;
    assert_eq!(page.status, 200);
    for text in [
        "<dd>42<span class=\"unit\"> /min</span></dd>",
        "<dd>49</dd>",
        "€\u{202f}1,284",
        "<dd>12,345</dd>",
        "behind (17\u{a0}records)",
        "placed 12\u{202f}s ago",
        "at most 42\u{a0}orders",
        "&lt;script&gt;x&lt;/script&gt;",
        "€\u{202f}801.00",
    ] {
        assert!(page.body.contains(text), "{text}\n{}", page.body);
    }
    assert!(!page.body.contains("<script>x"), "{}", page.body);
    assert!(control.asked().iter().all(|sql| sql.starts_with("SELECT ")), "{:?}", control.asked());
    world.stop().await;
    control.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_warehouse_without_orders_says_what_would_be_here() {
    let script = Script {
        status: warehouse(0.0, 0),
        answers: vec![("information_schema", reply(&[&["2"]]))],
        ..Script::default()
    };
    let control = Scripted::start(script).await;
    let world = World::start(&[&control.address]).await;
    let page = world.get_told("/business").await;
    assert!(page.body.contains("The warehouse holds no orders yet"), "{}", page.body);
    world.stop().await;
    control.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_warehouse_that_cannot_be_asked_says_why() {
    let control = Scripted::start(Script::default()).await;
    let world = World::start(&[&control.address]).await;
    let page = world.get_told("/business").await;
    assert!(page.body.contains("It was refused: no script."), "{}", page.body);
    world.stop().await;
    control.stop().await;
    let world = World::alone().await;
    let page = world.get_told("/business").await;
    assert!(page.body.contains("The warehouse cannot be asked."), "{}", page.body);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn figures_that_stand_still_are_said_to() {
    let mut status = warehouse(90.0, 3_400);
    status.projections[0].state = v1::State::Paused.into();
    let control = Scripted::start(Script { status, answers: figures(), ..Script::default() }).await;
    let world = World::start(&[&control.address]).await;
    let page = world.get_told("/business").await;
    let text = "The warehouse is paused, 90\u{202f}s behind: these figures stand still.";
    assert!(page.body.contains(text), "{}", page.body);
    world.stop().await;
    control.stop().await;
}
