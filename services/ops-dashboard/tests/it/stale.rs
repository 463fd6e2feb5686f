//! Numbers grow old: what does not answer stays in the picture and is marked.

use std::sync::atomic::Ordering;
use std::time::Duration;

use cdc_control::v1;

use crate::scripted::{self, Script, World, config};
use crate::site::{Site, text};

#[tokio::test]
async fn an_endpoint_that_was_never_there_is_named() {
    let port = testkit::server::free_port();
    let mut world = World::new();
    let site = Site::new(world.dashboard(config(&[format!("127.0.0.1:{port}")])).await);
    let page = site.page_with("/", "No answer").await;
    assert!(page.contains(&format!("127.0.0.1:{port} does not answer")), "{page}");
    let page = site.page("/services").await;
    assert!(page.contains("does not answer") && page.contains("never"), "{page}");
    let page = site.page("/query?sql=SELECT+1").await;
    assert!(page.contains("The query was refused"), "{page}");
}

#[tokio::test]
async fn an_endpoint_that_falls_silent_fades_and_comes_back() {
    let mut world = World::new();
    let script = Script::new(scripted::flowing());
    let endpoint = world.endpoint(&script).await;
    let mut config = config(&[endpoint]);
    config.stale_after = Duration::from_millis(500);
    let site = Site::new(world.dashboard(config).await);
    site.page_with("/", "Flowing").await;
    script.is_silent.store(true, Ordering::SeqCst);
    let page = site.page_with("/", "no answer since").await;
    assert!(page.contains("claims faded"), "the numbers fade");
    assert!(page.contains("402,113") || page.contains("420,317"), "the last numbers stay");
    assert!(page.contains("it has told nothing for 0.5 s"), "{page}");
    script.is_silent.store(false, Ordering::SeqCst);
    site.page_with("/", "Flowing").await;
}

#[tokio::test]
async fn one_of_two_that_goes_leaves_its_part_marked() {
    let mut world = World::new();
    let all = scripted::flowing();
    let capture = v1::StatusReply { projections: vec![], ..all.clone() };
    let projector = v1::StatusReply { capture: None, source: None, ..all };
    let first = world.endpoint(&Script::new(capture)).await;
    let mut ending = World::new();
    let second = ending.endpoint(&Script::new(projector)).await;
    let mut config = config(&[first, second.clone()]);
    config.stale_after = Duration::from_millis(500);
    let site = Site::new(world.dashboard(config).await);
    site.page_with("/", "live, 2 processes").await;
    ending.end().await;
    let page = site.page_with("/", "1 of 2 do not answer").await;
    assert!(page.contains("as last told") && page.contains("Flowing"), "{page}");
    let page = text(&page);
    assert!(page.contains("penstock does not answer") && page.contains(&second), "{page}");
}
