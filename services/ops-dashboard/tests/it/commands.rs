//! Commands: given once, written down, and confirmed where they cannot be taken back.

use crate::scripted::{self, Script, World, config};
use crate::site::{Site, location};
use testkit::server::until;

fn broken() -> std::sync::Arc<Script> {
    let script = Script::new(scripted::broken());
    *script.letters.lock().unwrap() = scripted::letters();
    *script.subjects.lock().unwrap() = scripted::subjects();
    script
}

#[tokio::test]
async fn a_projection_is_paused_and_goes_on() {
    let mut world = World::new();
    let script = Script::new(scripted::flowing());
    let site = Site::new(world.of(&script).await);
    site.page_with("/", "Flowing").await;
    let page =
        site.command("/command/pause", &[("target", "duckdb"), ("back", "/?range=1h")]).await;
    assert!(page.contains("pause duckdb") && page.contains("written to the"), "{page}");
    let page = site.page_with("/", "duckdb is paused").await;
    assert!(page.contains("Resume"));
    site.command("/command/resume", &[("target", "duckdb"), ("back", "/")]).await;
    site.command("/command/pause", &[("target", "capture"), ("back", "/source")]).await;
    assert_eq!(script.called(), ["pause duckdb", "resume duckdb", "pause capture"]);
    let log = site.page("/activity").await;
    assert!(log.find("capture").unwrap() < log.find("duckdb").unwrap(), "the newest is first");
    assert!(log.contains("127.0.0.1"));
}

#[tokio::test]
async fn what_is_refused_is_told_and_written_down_too() {
    let mut world = World::new();
    let site = Site::new(world.of(&Script::new(scripted::flowing())).await);
    site.page_with("/", "Flowing").await;
    let page = site.command("/command/pause", &[("target", "none"), ("back", "/")]).await;
    assert!(page.contains("refused: ") && page.contains("there is no such target"), "{page}");
    assert!(site.page("/activity").await.contains("no such target"));
}

#[tokio::test]
async fn discarding_needs_the_name_and_the_number_that_was_seen() {
    let mut world = World::new();
    let script = broken();
    let site = Site::new(world.of(&script).await);
    let page = site.page_with("/dead-letters?projection=search", "Discard 45 records").await;
    assert!(page.contains("Replay 45 records"));
    let discard = |confirm, expected| {
        let form = [
            ("projection", "search"),
            ("confirm", confirm),
            ("expected", expected),
            ("back", "/dead-letters"),
        ];
        site.post("/dead-letters/discard", &form).send()
    };
    assert_eq!(discard("serach", "45").await.unwrap().status(), 422);
    assert_eq!(script.called(), [""; 0]);

    let stale = discard("search", "44").await.unwrap();
    let page = site.page(&location(&stale)).await;
    assert!(page.contains("45 records are parked now, 44 were shown"), "{page}");
    assert_eq!(script.called(), [""; 0]);

    let done = discard("search", "45").await.unwrap();
    assert!(site.page(&location(&done)).await.contains("45 records discarded"));
    assert_eq!(script.called(), ["Discard search "]);
}

#[tokio::test]
async fn replaying_one_key_names_its_record() {
    let mut world = World::new();
    let script = broken();
    let site = Site::new(world.of(&script).await);
    site.page_with("/", "Halted").await;
    let form = [("projection", "search"), ("letter", "shop.public.orders:2:7"), ("back", "/")];
    site.command("/dead-letters/replay", &form).await;
    assert_eq!(script.called(), ["Replay search 7"]);
    for form in [
        [("projection", "search"), ("letter", ""), ("back", "/")],
        [("projection", "search"), ("letter", "nonsense"), ("back", "/")],
        [("projection", ""), ("letter", "a:1:1"), ("back", "/")],
    ] {
        let response = site.post("/dead-letters/replay", &form).send().await.unwrap();
        assert_eq!(response.status(), 422);
    }
}

#[tokio::test]
async fn a_schema_is_accepted_by_its_name_and_a_process_stopped_by_its_address() {
    let mut world = World::new();
    let script = broken();
    let endpoint = world.endpoint(&script).await;
    let site = Site::new(world.dashboard(config(std::slice::from_ref(&endpoint))).await);
    site.page_with("/", "Halted").await;
    let subject = "shop.public.orders-value";
    let wrong = [("subject", subject), ("confirm", ""), ("back", "/")];
    assert_eq!(site.post("/schemas/accept", &wrong).send().await.unwrap().status(), 422);
    site.command("/schemas/accept", &[("subject", subject), ("confirm", subject), ("back", "/")])
        .await;

    let asking = site.page(&format!("/services?stop={}", endpoint.replace(':', "%3A"))).await;
    assert!(asking.contains("Stop it"));
    let form = [("endpoint", endpoint.as_str()), ("confirm", "stop"), ("back", "/services")];
    assert_eq!(site.post("/command/stop", &form).send().await.unwrap().status(), 422);
    let form = [("endpoint", endpoint.as_str()), ("confirm", &endpoint), ("back", "/services")];
    site.command("/command/stop", &form).await;
    assert_eq!(script.called(), [format!("accept {subject}"), "stop".to_owned()]);
}

#[tokio::test]
async fn a_command_that_cannot_be_written_down_is_not_given() {
    let dir = tempfile::tempdir().unwrap();
    let mut world = World::new();
    let script = Script::new(scripted::flowing());
    let endpoint = world.endpoint(&script).await;
    let mut config = config(&[endpoint]);
    config.data_dir = Some(dir.path().join("log"));
    let site = Site::new(world.dashboard(config).await);
    site.page_with("/", "Flowing").await;
    site.command("/command/pause", &[("target", "duckdb"), ("back", "/")]).await;
    let log = std::fs::read_to_string(dir.path().join("log/activity.jsonl")).unwrap();
    assert_eq!(log.lines().count(), 2, "{log}");

    // Nothing more can be written where the log is to be begun anew.
    let file = std::fs::OpenOptions::new().write(true).open(dir.path().join("log/activity.jsonl"));
    file.unwrap().set_len(17 << 20).unwrap();
    std::fs::create_dir_all(dir.path().join("log/activity.1.jsonl/full")).unwrap();
    let form = [("target", "duckdb"), ("back", "/")];
    let refused = site.post("/command/resume", &form).send().await.unwrap();
    assert_eq!(refused.status(), 503);
    assert_eq!(script.called(), ["pause duckdb"]);
}

#[tokio::test]
async fn who_runs_it_is_asked_and_not_who_waits() {
    let mut world = World::new();
    let mut waiting = scripted::flowing();
    waiting.services[0].is_standby = true;
    let (standby, leader) = (Script::new(waiting), Script::new(scripted::flowing()));
    let endpoints = [world.endpoint(&standby).await, world.endpoint(&leader).await];
    let site = Site::new(world.dashboard(config(&endpoints)).await);
    site.page_with("/", "live, 2 processes").await;
    until("the leader is told", std::time::Duration::from_secs(30), async || {
        site.command("/command/pause", &[("target", "capture"), ("back", "/")]).await;
        leader.called().len() == 1
    })
    .await;
    assert_eq!(standby.called(), [""; 0]);
}
