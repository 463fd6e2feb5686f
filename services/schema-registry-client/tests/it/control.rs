//! What the process tells the operator's page: that it is there, and what it lacks.

use std::path::Path;

use cdc_control::{Client, v1};
use testkit::server::apicurio::Apicurio;
use testkit::server::kafka::Kafka;
use testkit::server::{free_port, until};

use crate::binary::{Running, program};
use crate::world::{A, PATIENCE, client, schema};

struct Process {
    control: Client,
    listen: String,
    _child: Running,
}

impl Process {
    async fn start(dir: &Path, (name, value): (&str, &str)) -> Self {
        let (listen, control) =
            (format!("127.0.0.1:{}", free_port()), format!("127.0.0.1:{}", free_port()));
        let mut command = program(dir, &["--listen", &listen, "--data-dir", "registry"]);
        command.env("PENSTOCK_REGISTRY_CONTROL__LISTEN", &control).env(name, value);
        let child = Running(command.spawn().unwrap());
        let control = Client::of_address(&control, None).unwrap();
        let process = Self { control, listen, _child: child };
        until("control answers", PATIENCE, async || process.control.clone().status().await.is_ok())
            .await;
        process
    }

    async fn service(&self) -> v1::Service {
        let mut status = self.control.clone().status().await.unwrap();
        assert!(status.capture.is_none() && status.projections.is_empty());
        assert_eq!(status.services.len(), 1);
        status.services.remove(0)
    }

    async fn until_state(&self, state: v1::State) -> v1::Service {
        until("the state is told", PATIENCE, async || self.service().await.state() == state).await;
        self.service().await
    }

    async fn register(&self, subject: &str) {
        let url = format!("http://{}/subjects/{subject}/versions", self.listen);
        let told = client().post(url).json(&schema(A)).send().await.unwrap();
        assert_eq!(told.status(), 200, "{}", told.text().await.unwrap());
    }
}

#[tokio::test]
async fn it_tells_that_it_is_there_lists_schemas_and_stops_when_told() {
    let dir = tempfile::tempdir().unwrap();
    let process = Process::start(dir.path(), ("PENSTOCK_REGISTRY_LOG_LEVEL", "warn")).await;
    process.register("s").await;
    let service = process.service().await;
    assert_eq!(
        (service.name.as_str(), service.state()),
        ("schema-registry-client", v1::State::Running)
    );
    assert!(!service.instance.is_empty() && !service.version.is_empty());
    assert!(service.reason.is_empty() && service.remedy.is_empty());
    let listed = process.control.clone().schemas("").await.unwrap();
    assert_eq!((listed.subjects.len(), listed.subjects[0].compatibility.as_str()), (1, "BACKWARD"));
    assert_eq!(listed.subjects[0].versions[0].schema_json, A);
    assert!(process.control.clone().schemas("none").await.is_err());
    // The socket in the data directory tells the same.
    let mut local = Client::connect(&dir.path().join("registry")).await.unwrap();
    assert_eq!(local.status().await.unwrap().services[0].name, service.name);
    local.stop().await.unwrap();
    until("it ended", PATIENCE, async || process.control.clone().status().await.is_err()).await;
}

#[tokio::test]
async fn it_tells_when_kafka_is_away_and_what_to_do() {
    let kafka = Kafka::start().await;
    let dir = tempfile::tempdir().unwrap();
    let process = Process::start(dir.path(), ("PENSTOCK_REGISTRY_KAFKA", &kafka.bootstrap())).await;
    process.until_state(v1::State::Running).await;
    process.register("s").await;
    kafka.kill9().await;
    let service = process.until_state(v1::State::Waiting).await;
    assert!(service.reason.starts_with("Kafka does not answer"), "{service:?}");
    assert!(service.remedy.starts_with("Start Kafka"), "{service:?}");
    assert_eq!(process.control.clone().schemas("s").await.unwrap().subjects.len(), 1);
    kafka.start_again().await;
    process.until_state(v1::State::Running).await;
}

#[tokio::test]
async fn it_tells_when_the_upstream_is_away_and_what_to_do() {
    let upstream = Apicurio::start().await;
    let dir = tempfile::tempdir().unwrap();
    let process = Process::start(dir.path(), ("PENSTOCK_REGISTRY_UPSTREAM", &upstream.url())).await;
    process.register("s").await;
    process.until_state(v1::State::Running).await;
    assert_eq!(process.control.clone().schemas("").await.unwrap().subjects.len(), 1);
    upstream.stop().await;
    // Nobody asked it anything: it looks by itself.
    let service = process.until_state(v1::State::Waiting).await;
    let reason = &service.reason;
    assert!(reason.starts_with("the upstream cannot be asked: registry http:"), "{reason}");
    assert!(reason.ends_with("schemas that are known go on being served"), "{reason}");
    assert!(service.remedy.starts_with("start the registry or correct its"), "{service:?}");
    // What it said is still told.
    assert_eq!(process.control.clone().schemas("s").await.unwrap().subjects.len(), 1);
}
