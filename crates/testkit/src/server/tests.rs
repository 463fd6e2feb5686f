//! The servers themselves: they start, survive what tests do to them, and leave nothing behind.

use std::path::Path;

use super::apicurio::Apicurio;
use super::kafka::Kafka;
use super::postgres::{Postgres, Version};
use super::{accepts, free_port};

fn is_alive(pid: i32) -> bool {
    Path::new(&format!("/proc/{pid}/stat")).exists()
}

#[test]
fn a_port_is_given_once() {
    assert_ne!(free_port(), free_port());
}

#[tokio::test]
async fn pg_every_version_starts_and_keeps_its_data_through_a_restart_and_crashes() {
    for version in Version::ALL {
        let server = Postgres::start_with(version, &[("wal_sender_timeout", "3s")]).await;
        assert_eq!(server.value("SHOW wal_level").await, "logical");
        assert_eq!(server.value("SHOW wal_sender_timeout").await, "3s");
        let major = version.major().to_string();
        assert!(server.value("SHOW server_version").await.starts_with(&major));
        server
            .sql("CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t VALUES (1, 'a')")
            .await;

        server.restart().await;
        server.stop_immediate().await;
        server.start_again().await;
        server.kill9().await;
        server.start_again().await;

        let rows = server.rows("SELECT id, v, NULL FROM t").await;
        assert_eq!(rows, [[Some("1".to_owned()), Some("a".to_owned()), None]]);
    }
}

#[tokio::test]
async fn pg_a_dropped_server_is_gone_with_its_folder() {
    let server = Postgres::start(Version::V18).await;
    let (pid, port, data) = (server.pid(), server.port(), server.data_dir());
    assert!(is_alive(pid) && data.exists());
    drop(server);
    assert!(!is_alive(pid) && !data.exists() && !accepts(port).await);
}

#[tokio::test]
async fn kafka_starts_stops_and_starts_again_on_its_port() {
    let kafka = Kafka::start().await;
    let pid = kafka.pid();
    kafka.kill9().await;
    assert!(!is_alive(pid) && !accepts(kafka.port()).await);
    kafka.start_again().await;
    kafka.pause();
    kafka.resume();
    let pid = kafka.pid();
    drop(kafka);
    assert!(!is_alive(pid));
}

#[tokio::test]
async fn apicurio_answers_in_confluents_api() {
    let registry = Apicurio::shared().await;
    assert!(registry.url().ends_with("/apis/ccompat/v7"));
    registry.stop().await;
    registry.start_again().await;
}
