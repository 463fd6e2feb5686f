//! It stays quick with much of everything.

use cdc_control::v1;

use crate::scripted::{self, Script, World};
use crate::site::{Site, text};

#[tokio::test]
async fn ten_thousand_tables_are_paged_filtered_and_sorted_here() {
    let mut world = World::new();
    let mut status = scripted::flowing();
    let table = |index: u64| v1::Table {
        name: format!("public.table_{index:05}"),
        creates: index,
        ..v1::Table::default()
    };
    status.tables = (0..10_000).map(table).collect();
    let site = Site::new(world.of(&Script::new(status)).await);
    let page = site.page_with("/source", "10,000 tables").await;
    assert!(page.len() < 100_000, "{} bytes", page.len());
    assert!(page.contains("public.table_00049") && !page.contains("public.table_00050"));
    let page = text(&site.page("/source?q=TABLE_0999&sort=creates").await);
    assert!(page.contains("10 tables of 10,000"));
    let (last, first) = (page.find("table_09999").unwrap(), page.find("table_09990").unwrap());
    assert!(last < first, "the largest comes first");
    let page = site.page("/source?page=200").await;
    assert!(page.contains("public.table_09999") && page.contains("of <span class=\"n\">200"));
    assert!(site.page("/source?page=99999").await.contains("public.table_09999"));
    assert!(site.page("/source?q=none").await.contains("No table’s name has"));
}

#[tokio::test]
async fn a_megabyte_is_folded_and_large_letters_are_cut_into_pages() {
    let mut world = World::new();
    let script = Script::new(scripted::flowing());
    let mut letters = scripted::letters();
    for letter in &mut letters {
        letter.value_json = Some(format!("{{\"after\":{{\"v\":\"{}\"}}}}", "z".repeat(1 << 20)));
        letter.raw_value = Some(vec![0xff; 1 << 20]);
    }
    *script.letters.lock().unwrap() = letters;
    let site = Site::new(world.of(&script).await);
    site.page_with("/dead-letters", "45 records").await;
    let page = site.page("/dead-letters?projection=search&page=3").await;
    assert!(page.len() < 100_000, "{} bytes", page.len());
    let page = site.page("/dead-letters?projection=search&show=shop.public.orders%3A2%3A3").await;
    assert!(page.len() < 200_000, "{} bytes", page.len());
    assert!(page.contains("1,048,376 characters") || page.contains("characters"), "folded");
}

#[tokio::test]
async fn a_thousand_events_a_second_are_sampled() {
    let mut world = World::new();
    let script = Script::moving(scripted::flowing());
    let site = Site::new(world.of(&script).await);
    site.page_with("/", "Flowing").await;
    let page = site.page_with("/events", "a sample: ").await;
    assert!(page.matches("class=\"op ").count() <= 40);
}

#[tokio::test]
async fn pages_are_compressed_and_streams_are_not() {
    let mut world = World::new();
    let site = Site::new(world.of(&Script::new(scripted::flowing())).await);
    site.page_with("/", "Flowing").await;
    let page = site.get("/").header("accept-encoding", "gzip").send().await.unwrap();
    assert_eq!(page.headers()["content-encoding"], "gzip");
    let stream = site.get("/live/overview").header("accept-encoding", "gzip").send().await.unwrap();
    assert!(!stream.headers().contains_key("content-encoding"));
    let refused = site.post("/preferences", &[("back", &"x".repeat(70_000))]).send().await.unwrap();
    assert_eq!(refused.status(), 413);
}

#[tokio::test]
async fn dead_letters_are_paged_to_the_last() {
    let mut world = World::new();
    let mut status = scripted::broken();
    status.projections[0].dead_letters = 5;
    let script = Script::new(status);
    let letter = |offset: i64| v1::DeadLetter {
        projection: if offset < 5 { "audit" } else { "search" }.into(),
        offset,
        ..scripted::letters().remove(0)
    };
    *script.letters.lock().unwrap() = (0..3_005).map(letter).collect();
    let site = Site::new(world.of(&script).await);
    let page = text(&site.page_with("/dead-letters", "3,005 records").await);
    assert!(page.contains("2, 0") && page.contains("2, 19") && page.contains("of 151"), "{page}");
    let page = text(&site.page("/dead-letters?page=151").await);
    assert!(page.contains("2, 3004") && !page.contains("2, 2999"), "{page}");
    // Beyond the end is the end.
    let page = text(&site.page("/dead-letters?projection=search&page=9999").await);
    assert!(page.contains("of 150") && page.contains("2, 3004"), "{page}");
    // One that is on a late page is found by itself.
    let page =
        site.page("/dead-letters?projection=search&show=shop.public.orders%3A2%3A2900").await;
    assert!(page.contains("Original bytes"), "{page}");
}

#[tokio::test]
async fn a_clock_that_is_ahead_is_told_and_breaks_nothing() {
    let mut world = World::new();
    let script = Script::new(scripted::flowing());
    let mut letters = scripted::letters();
    letters[0].timestamp_ms = scripted::now_ms() + 3_600_000;
    *script.letters.lock().unwrap() = letters;
    let site = Site::new(world.of(&script).await);
    let page = site.page_with("/dead-letters", "45 records").await;
    assert!(page.contains("60\u{202f}min ahead"), "{page}");
    // A check is timed by answers that came here, whatever a process takes for the time.
    script.status.lock().unwrap().now_ms = 0;
    site.page_with("/", "verified ").await;
}

#[tokio::test]
async fn a_row_of_markup_bytes_and_a_megabyte_is_text_of_bounded_length() {
    let mut world = World::new();
    let script = Script::new(scripted::flowing());
    let row = [
        ("name", scripted::MARKUP.to_owned()),
        ("\"><svg onload=alert(1)>", "a name".to_owned()),
        ("bytes", format!("\\x{}", "00ff".repeat(300))),
        ("large", "\u{202e}z".repeat(1 << 19)),
    ];
    let row: serde_json::Map<_, _> =
        row.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
    let value = serde_json::json!({"op": "c", "table": "public.<b>", "before": null, "after": row});
    *script.event.lock().unwrap() = Some(v1::TailEvent {
        topic: "shop.public.<b>".to_owned(),
        op: "c".to_owned(),
        key: format!("{{\"id\":\"{}\"}}", scripted::MARKUP),
        value_json: Some(value.to_string()),
        ..v1::TailEvent::default()
    });
    let site = Site::new(world.of(&script).await);
    let list = site.page_with("/events", "shop.public.").await;
    let whole = site.page("/events?show=shop.public.%3Cb%3E%3A0%3A0").await;
    for page in [list, whole] {
        assert!(page.len() < 100_000, "{} bytes", page.len());
        for tag in ["<img", "<svg onload", "<script>", "<b>"] {
            assert!(!page.contains(tag), "{tag}");
        }
    }
    let whole = site.page("/events?show=shop.public.%3Cb%3E%3A0%3A0").await;
    assert!(whole.contains("600 bytes: ") && whole.contains("characters"), "{whole}");
}
