//! A running service and a client to ask it.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use schema_registry_client::{RegistryService, Settings, build};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// How long anything may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) const V1: &str = "application/vnd.schemaregistry.v1+json";

pub(crate) const A: &str = r#"{"type":"record","name":"V","fields":[{"name":"id","type":"long"}]}"#;
pub(crate) const B: &str = r#"{"type":"record","name":"V","fields":[{"name":"id","type":"long"},{"name":"v","type":["null","string"],"default":null}]}"#;
pub(crate) const INCOMPATIBLE: &str =
    r#"{"type":"record","name":"V","fields":[{"name":"x","type":"long"}]}"#;

/// A service on a port of its own.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    client: reqwest::Client,
    shutdown: CancellationToken,
    task: JoinHandle<anyhow::Result<()>>,
}

/// An answer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Told {
    pub(crate) status: u16,
    pub(crate) body: Value,
    pub(crate) is_cached: bool,
}

impl Told {
    /// Returns status, error code and message.
    pub(crate) fn refusal(&self) -> (u16, u64, &str) {
        let code = self.body["error_code"].as_u64().unwrap_or_default();
        (self.status, code, self.body["message"].as_str().unwrap_or_default())
    }
}

pub(crate) fn embedded(dir: &Path) -> Settings {
    Settings { data_dir: dir.to_owned(), ..Settings::default() }
}

pub(crate) fn schema(text: &str) -> Value {
    json!({ "schema": text })
}

impl Running {
    pub(crate) async fn start(settings: Settings) -> Self {
        Self::serve(build(settings).await.unwrap()).await
    }

    #[expect(clippy::disallowed_methods, reason = "the test owns the task and joins it")]
    pub(crate) async fn serve(service: RegistryService) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let stop = shutdown.clone();
        let task = tokio::spawn(async move { service.serve(listener, stop).await });
        Self { address, client: client(), shutdown, task }
    }

    /// Stops in order.
    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        drop(self.client);
        self.task.await.unwrap().unwrap();
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Waits until everything can be served.
    pub(crate) async fn ready(&self) {
        testkit::server::until("the service is ready", PATIENCE, async || {
            self.send(Method::GET, "/readyz", None).await.0 == 200
        })
        .await;
    }

    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<(&str, String)>,
    ) -> (u16, String, bool) {
        let mut request = self.client.request(method, format!("{}{path}", self.url()));
        if let Some((kind, body)) = body {
            request = request.header(CONTENT_TYPE, kind).body(body);
        }
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        let is_cached = response.headers().contains_key("x-penstock-cached");
        (status, response.text().await.unwrap(), is_cached)
    }

    pub(crate) async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> Told {
        let body = body.map(|body| (V1, body.to_string()));
        let (status, text, is_cached) = self.send(method, path, body).await;
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Told { status, body, is_cached }
    }

    pub(crate) async fn get(&self, path: &str) -> Told {
        self.ask(Method::GET, path, None).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Told {
        self.ask(Method::POST, path, Some(&body)).await
    }

    pub(crate) async fn put(&self, path: &str, body: Value) -> Told {
        self.ask(Method::PUT, path, Some(&body)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Told {
        self.ask(Method::DELETE, path, None).await
    }

    /// Registers, and returns the id.
    pub(crate) async fn register(&self, subject: &str, text: &str) -> u64 {
        let told = self.post(&format!("/subjects/{subject}/versions"), schema(text)).await;
        assert_eq!(told.status, 200, "{told:?}");
        told.body["id"].as_u64().unwrap()
    }
}

pub(crate) fn client() -> reqwest::Client {
    // Connections are plain; a provider must be named all the same.
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    reqwest::Client::builder()
        .use_preconfigured_tls(tls)
        .no_proxy()
        .timeout(PATIENCE)
        .build()
        .unwrap()
}
