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
