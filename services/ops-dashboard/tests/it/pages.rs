//! Every page: what it answers, that it shows nothing where nothing is known, and that a row's value
//! stays text.

use std::sync::atomic::Ordering;

use crate::scripted::{self, MARKUP, Script, World};
use crate::site::{Site, text};

const PAGES: [&str; 14] = [
    "/",
    "/?range=24h",
    "/events",
    "/events?topic=shop.public.orders",
    "/projections/search",
    "/dead-letters",
    "/dead-letters?projection=search",
    "/dead-letters?projection=search&show=shop.public.orders%3A2%3A7",
    "/schemas",
    "/schemas/shop.public.orders-value",
    "/source",
    "/services",
    "/query?sql=SELECT%201",
    "/search?q=ada",
];

fn broken() -> std::sync::Arc<Script> {
    let script = Script::new(scripted::broken());
    *script.letters.lock().unwrap() = scripted::letters();
    *script.subjects.lock().unwrap() = scripted::subjects();
    script
}

#[tokio::test]
async fn the_first_screen_says_that_all_is_well() {
    let mut world = World::new();
    let site = Site::new(world.of(&Script::new(scripted::flowing())).await);
    let page = text(&site.page_with("/", "Nothing lost").await);
    for words in [
        "1,180\u{202f}events/s · last one 200\u{202f}ms ago",
        "8.2\u{202f}ms behind",
        "p99 41\u{202f}ms · slowest: read → applied",
        "Nothing lost",
        "10.0\u{202f}GiB",
        "99.9\u{202f}%",
        "penstock_shop",
    ] {
        assert!(page.contains(words), "{words}");
    }
}

#[tokio::test]
async fn the_first_screen_says_what_is_wrong_and_what_to_press() {
    let mut world = World::new();
    let site = Site::new(world.of(&broken()).await);
    let page = site.page_with("/", "Halted").await;
    for words in [
        "duckdb halted: SINK_DISK_FULL",
        "Make space on the warehouse",
        "14\u{202f}min behind",
        "991,200 records",
        "Slot at its limit",
        "45 records parked in search",
        "href=\"/dead-letters?projection=search\"",
        "2 tables match and came too late",
    ] {
        assert!(page.contains(words), "{words}");
    }
}

#[tokio::test]
async fn what_is_not_known_is_a_dash_and_never_zero() {
    let mut world = World::new();
    let script = Script::new(scripted::empty());
    let mut bare = cdc_control::v1::Projection { name: "bare".into(), ..Default::default() };
    bare.set_state(cdc_control::v1::State::Running);
    script.status.lock().unwrap().projections = vec![bare];
    let site = Site::new(world.of(&script).await);
    let page = text(&site.page_with("/", "bare").await);
    assert!(page.contains("Lag not known") && page.contains("Ready"), "{page}");
    let page = site.page("/projections/bare").await;
    let lag = page.split("<dt>Lag</dt>").nth(1).unwrap().split("</dd>").next().unwrap();
    assert_eq!(text(lag), "–, –");
}

#[tokio::test]
async fn empty_pages_say_what_would_be_there() {
    let mut world = World::new();
    let site = Site::new(world.of(&Script::new(scripted::empty())).await);
    site.page_with("/", "fresh").await;
    for (path, words) in [
        ("/", "penstock run --source"),
        ("/events", "penstock tail"),
        ("/dead-letters", "Nothing is parked"),
        ("/schemas", "have a subject here"),
        ("/source", "penstock run --source"),
        ("/activity", "Every command given from this page"),
        ("/query", "One SELECT"),
        ("/search", "found by their words"),
    ] {
        assert!(site.page(path).await.contains(words), "{path}");
    }
}

#[tokio::test]
async fn values_stay_text_on_every_page_and_stream() {
    let mut world = World::new();
    let script = broken();
    let site = Site::new(world.of(&script).await);
    site.page_with("/", "Halted").await;
    let mut shown = 0;
    for path in PAGES {
        let page = site.page(path).await;
        assert!(!page.contains("<img src=x") && !page.contains("<script>"), "{path}");
        assert!(!page.contains("style=") && !page.contains(" onclick"), "{path}");
        shown += usize::from(page.contains("&lt;script&gt;alert(2)"));
    }
    assert!(shown >= 6, "markup of rows is shown on {shown} pages only");
    assert!(site.page("/events?topic=%3Cscript%3E").await.contains("value=\"&lt;script&gt;\""));

    let mut stream = site.get("/live/overview").send().await.unwrap();
    assert_eq!(stream.headers()["content-type"], "text/event-stream");
    let mut told = String::new();
    while !told.contains("\n\n") {
        told.push_str(&String::from_utf8_lossy(&stream.chunk().await.unwrap().unwrap()));
    }
    assert!(told.starts_with("event: parts\n") && told.contains("hx-swap-oob"), "{told}");
    assert!(told.contains("&lt;script&gt;alert(2)") && !told.contains(MARKUP), "{told}");
    assert!(!script.is_silent.load(Ordering::SeqCst));
}

#[tokio::test]
async fn a_stream_tells_a_new_state_by_itself() {
    let mut world = World::new();
    let script = Script::new(scripted::flowing());
    let site = Site::new(world.of(&script).await);
    site.page_with("/", "Flowing").await;
    let mut stream = site.get("/live/overview").send().await.unwrap();
    *script.status.lock().unwrap() = scripted::broken();
    let mut told = String::new();
    while !told.contains("SINK_DISK_FULL") {
        told.push_str(&String::from_utf8_lossy(&stream.chunk().await.unwrap().unwrap()));
    }
}

#[tokio::test]
async fn events_come_with_what_they_changed_and_one_is_shown_whole() {
    let mut world = World::new();
    let script = Script::moving(scripted::flowing());
    let site = Site::new(world.of(&script).await);
    site.page_with("/", "Flowing").await;
    let page = site.page_with("/events", "<del>").await;
    let href = page.split("class=\"table\" href=\"").nth(1).unwrap().split('"').next().unwrap();
    let whole = site.page(&href.replace("&amp;", "&")).await;
    for words in ["Before", "After", "Envelope", "16/B374D848", "Partition, offset"] {
        assert!(whole.contains(words), "{words}");
    }
    let way = text(whole.split("class=\"way\"").nth(1).unwrap());
    assert!(way.contains("appended after ") && way.contains("duckdb after "), "{way}");
    assert!(way.contains("search not told"), "{way}");
    let gone = site.page("/events?show=a%3A0%3A1").await;
    assert!(gone.contains("not kept any more"));
}

#[tokio::test]
async fn a_dead_letter_is_shown_with_bytes_headers_and_reason() {
    let mut world = World::new();
    let site = Site::new(world.of(&broken()).await);
    site.page_with("/dead-letters", "45 records").await;
    let page = site.page("/dead-letters?projection=search&show=shop.public.orders%3A2%3A7").await;
    for words in
        ["00 00 00 00 07 02", "00ff07", "16/B374D848:3", "Schema id", "no text", "+253 characters"]
    {
        assert!(page.contains(words), "{words}");
    }
    assert!(page.contains("Replay 15 records"), "as many as its key has");
    let gone = site.page("/dead-letters?show=t%3A0%3A0").await;
    assert!(gone.contains("not parked any more"));
}

#[tokio::test]
async fn schemas_show_versions_changes_and_what_was_refused() {
    let mut world = World::new();
    let site = Site::new(world.of(&broken()).await);
    let list = site.page_with("/schemas", "orders-value").await;
    let refused = list.find("orders-value").unwrap();
    assert!(refused < list.find("customers-value").unwrap(), "the refused one comes first");
    let page = site.page("/schemas/shop.public.orders-value").await;
    for words in ["Version 2", "voucher", "readers that take a number fail", "Accept this schema"] {
        assert!(page.contains(words), "{words}");
    }
    let missing = site.get("/schemas/none").send().await.unwrap();
    assert_eq!(missing.status(), 404);
}

#[tokio::test]
async fn a_query_and_a_search_are_answered_or_refused_in_the_store_s_words() {
    let mut world = World::new();
    let script = broken();
    let site = Site::new(world.of(&script).await);
    site.page_with("/", "Halted").await;
    let page = site.page("/query?sql=SELECT+1&limit=500").await;
    for words in [
        "DECIMAL(10,2)",
        "Ada Lovelace",
        "NULL",
        "there are more than the limit",
        "+300 characters",
    ] {
        assert!(page.contains(words), "{words}");
    }
    let page = site.page("/query?sql=broken").await;
    assert!(page.contains("Parser Error: syntax error at"), "{page}");
    let before = script.called().len();
    let foreign = site.get("/query?sql=SELECT+2").header("sec-fetch-site", "cross-site");
    let page = foreign.send().await.unwrap().text().await.unwrap();
    assert!(page.contains("came from elsewhere") && page.contains("SELECT 2"));
    assert_eq!(script.called().len(), before);

    let page = site.page("/search?q=ada").await;
    assert!(page.contains("<mark>Ada</mark>") && page.contains("public.orders"));
    assert!(site.page("/search?q=nothing").await.contains("No row has these words"));
}

#[tokio::test]
async fn every_address_answers() {
    let mut world = World::new();
    let site = Site::new(world.of(&broken()).await);
    site.page_with("/", "Halted").await;
    for path in ["/nowhere", "/projections/none"] {
        assert_eq!(site.get(path).send().await.unwrap().status(), 404, "{path}");
    }
    let metrics = site.page("/metrics").await;
    assert!(metrics.contains("penstock_dashboard_endpoints{state=\"fresh\"} 1"), "{metrics}");
    assert_eq!(site.page("/healthz").await, "ok\n");
    assert_eq!(site.page("/readyz").await, "ready\n");
    let history = site.page("/history?range=5m&names=events_per_second%0Anone").await;
    let history: serde_json::Value = serde_json::from_str(&history).unwrap();
    assert_eq!(history["values"].as_array().unwrap().len(), 2);
    let page = site.page("/").await;
    for link in page.split("/assets/").skip(1).map(|rest| rest.split('"').next().unwrap()) {
        let asset = site.get(&format!("/assets/{link}")).header("accept-encoding", "gzip");
        let asset = asset.send().await.unwrap();
        assert_eq!(asset.status(), 200, "{link}");
        assert!(asset.headers()["cache-control"].to_str().unwrap().contains("immutable"));
        assert_eq!(asset.headers()["content-encoding"], "gzip");
    }
}
