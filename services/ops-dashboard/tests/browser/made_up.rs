//! Made-up pipelines, and `suite.mjs`, which looks at each.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use cdc_control::v1::{self, State};
use serde_json::json;

use crate::Suite;
use crate::scripted::{self, Script, World, config};

/// Runs the suite; returns whether all is well.
pub(crate) async fn run(folder: &Path) -> bool {
    let mut world = World::new();
    let mut sites = BTreeMap::new();
    for (name, script) in scripts() {
        let endpoint = world.endpoint(&script).await;
        let mut config = config(&[endpoint]);
        config.interval = Duration::from_secs(1);
        sites.insert(name.to_owned(), format!("http://{}", world.dashboard(config).await));
    }
    let absent = config(&[format!("127.0.0.1:{}", testkit::server::free_port())]);
    sites.insert("unreachable".to_owned(), format!("http://{}", world.dashboard(absent).await));
    let guarded = ops_dashboard::DashboardConfig {
        token: Some("correct-horse-battery".to_owned()),
        ..config(&[])
    };
    sites.insert("guarded".to_owned(), format!("http://{}", world.dashboard(guarded).await));
    // A dashboard of its own that the suite sees die.
    let mut mortal = World::new();
    let address = mortal.of(&Script::moving(scripted::flowing())).await;
    sites.insert("mortal".to_owned(), format!("http://{address}"));

    let mut suite = Suite::start(folder, "suite.mjs", &json!(sites));
    while let Some(wish) = suite.wish().await {
        assert_eq!(wish, "end mortal");
        mortal.end().await;
    }
    suite.is_well().await
}

fn scripts() -> Vec<(&'static str, Arc<Script>)> {
    let mut paused = scripted::flowing();
    if let Some(capture) = &mut paused.capture {
        capture.set_state(State::Paused);
    }
    let broken = Script::new(scripted::broken());
    *broken.letters.lock().unwrap() = scripted::letters();
    let scripts = vec![
        ("flowing", Script::moving(scripted::flowing())),
        ("broken", broken),
        ("paused", Script::new(paused)),
        ("much", Script::moving(much())),
    ];
    for (_, script) in &scripts {
        *script.subjects.lock().unwrap() = scripted::subjects();
    }
    scripts.into_iter().chain([("empty", Script::new(scripted::empty()))]).collect()
}

/// Ten thousand tables, twenty projections, long names.
fn much() -> v1::StatusReply {
    let mut status = scripted::flowing();
    let one = status.projections[0].clone();
    let projection = |index: usize| v1::Projection {
        name: format!("projection-with-a-long-name-{index:02}"),
        ..one.clone()
    };
    status.projections = (0..20).map(projection).collect();
    let table = |index: u64| v1::Table {
        name: format!("a_schema_with_a_long_name.a_table_with_an_even_longer_name_{index:05}"),
        creates: index * 131,
        ..v1::Table::default()
    };
    status.tables = (0..10_000).map(table).collect();
    status
}
