//! Confluent's own client for Python against a running service.

use std::path::Path;
use std::process::Stdio;

use tokio::process::Command;

use crate::world::{PATIENCE, Running, embedded};

#[tokio::test]
async fn confluents_python_client_finds_a_registry() {
    let packages = testkit::server::deps::root().join("python");
    let hint = "is missing; please run `scripts/bootstrap test`";
    assert!(packages.join("confluent_kafka").exists(), "{} {hint}", packages.display());
    let dir = tempfile::tempdir().unwrap();
    let registry = Running::start(embedded(dir.path())).await;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python/clients.py");
    let client = Command::new("python3")
        .arg("-B")
        .arg(script)
        .arg(registry.url())
        .env("PYTHONPATH", packages)
        .env("NO_PROXY", "127.0.0.1")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(PATIENCE, client).await.unwrap().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{text}");
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "done");
    registry.stop().await;
}
