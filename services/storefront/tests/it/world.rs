//! A shop on a port of its own, its database, and a process to ask.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cdc_control::{Control, v1};
use reqwest::header::{COOKIE, LOCATION, SET_COOKIE};
use reqwest::redirect::Policy;
use storefront::{Endpoint, Storefront, StorefrontConfig};
use testkit::server::postgres::{Postgres, Version};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::Status;

/// How long anything may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// What a process says.
#[derive(Debug, Default)]
pub(crate) struct Script {
    pub(crate) status: v1::StatusReply,
    /// Rungs that everything has reached.
    pub(crate) rungs: Vec<v1::TraceRung>,
    /// Answers to queries that hold a text; the first that fits.
    pub(crate) answers: Vec<(&'static str, v1::QueryReply)>,
    /// Positions and queries that were asked for, and targets that were held.
    pub(crate) asked: Vec<String>,
}

/// A process that is asked.
pub(crate) struct Scripted {
    pub(crate) script: Arc<Mutex<Script>>,
    pub(crate) address: String,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
}

#[derive(Clone)]
struct Process(Arc<Mutex<Script>>);

impl Control for Process {
    async fn status(&self) -> Result<v1::StatusReply, Status> {
        Ok(self.0.lock().unwrap().status.clone())
    }

    async fn stop(&self) -> Result<(), Status> {
        Ok(())
    }

    async fn query(&self, request: v1::QueryRequest) -> Result<v1::QueryReply, Status> {
        let mut script = self.0.lock().unwrap();
        script.asked.push(request.sql.clone());
        let found = script.answers.iter().find(|(text, _)| request.sql.contains(text));
        found.map(|(_, reply)| reply.clone()).ok_or_else(|| Status::invalid_argument("no script"))
    }

    async fn trace(&self, request: v1::TraceRequest) -> Result<v1::TraceReply, Status> {
        let mut script = self.0.lock().unwrap();
        script.asked.push(request.position);
        Ok(v1::TraceReply { rungs: script.rungs.clone() })
    }

    async fn pause(&self, target: String) -> Result<(), Status> {
        self.hold(&target, v1::State::Paused)
    }

    async fn resume(&self, target: String) -> Result<(), Status> {
        self.hold(&target, v1::State::Running)
    }
}

impl Process {
    fn hold(&self, target: &str, state: v1::State) -> Result<(), Status> {
        let mut script = self.0.lock().unwrap();
        let mut projections = script.status.projections.iter_mut();
        let found = projections.find(|projection| projection.name == target);
        let found = found.ok_or_else(|| Status::not_found("no such projection"))?;
        found.state = state.into();
        script.asked.push(format!("{state:?} {target}"));
        Ok(())
    }
}

impl Scripted {
    #[expect(clippy::disallowed_methods, reason = "the test owns the task and joins it")]
    pub(crate) async fn start(script: Script) -> Self {
        let script = Arc::new(Mutex::new(script));
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let shutdown = CancellationToken::new();
        let (process, until) = (Arc::new(Process(Arc::clone(&script))), shutdown.clone());
        let task = tokio::spawn(async move {
            cdc_control::serve_tcp(process, listener, Some("hunter2".to_owned()), until)
                .await
                .unwrap();
        });
        Self { script, address, shutdown, task }
    }

    pub(crate) fn change(&self, change: impl FnOnce(&mut Script)) {
        change(&mut self.script.lock().unwrap());
    }

    pub(crate) fn asked(&self) -> Vec<String> {
        self.script.lock().unwrap().asked.clone()
    }

    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        self.task.await.unwrap();
    }
}

pub(crate) fn projection(name: &str, kind: &str) -> v1::Projection {
    v1::Projection {
        name: name.to_owned(),
        kind: kind.to_owned(),
        state: v1::State::Running.into(),
        ..Default::default()
    }
}

/// A status of a pipeline with these projections.
pub(crate) fn running(projections: Vec<v1::Projection>) -> v1::StatusReply {
    let capture = v1::Capture { state: v1::State::Running.into(), ..Default::default() };
    v1::StatusReply { capture: Some(capture), projections, ..Default::default() }
}

pub(crate) fn reply(rows: &[&[&str]]) -> v1::QueryReply {
    let cell = |text: &&str| v1::Cell { text: Some((*text).to_owned()) };
    let row = |row: &&[&str]| v1::Row { cells: row.iter().map(cell).collect() };
    v1::QueryReply { rows: rows.iter().map(row).collect(), ..Default::default() }
}

/// An open shop.
pub(crate) struct World {
    pub(crate) postgres: Postgres,
    pub(crate) shop: Arc<Storefront>,
    pub(crate) url: String,
    client: reqwest::Client,
    shutdown: CancellationToken,
    task: JoinHandle<storefront::Result<()>>,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) status: u16,
    pub(crate) location: String,
    pub(crate) cookie: String,
    pub(crate) body: String,
}

pub(crate) fn config(postgres: &Postgres, control: &[&str]) -> StorefrontConfig {
    let mut config = StorefrontConfig::new(postgres.dsn("postgres"));
    config.control = control.iter().map(|address| Endpoint::parse(address)).collect();
    config.control_token = Some(storefront::Secret::new("hunter2"));
    config
}

impl World {
    /// A shop that nobody follows.
    pub(crate) async fn alone() -> Self {
        Self::start(&[]).await
    }

    /// A shop that asks processes at these addresses.
    pub(crate) async fn start(control: &[&str]) -> Self {
        let postgres = Postgres::start(Version::V18).await;
        let config = config(&postgres, control);
        Self::with(postgres, config).await
    }

    #[expect(clippy::disallowed_methods, reason = "the test owns the task and joins it")]
    pub(crate) async fn with(postgres: Postgres, config: StorefrontConfig) -> Self {
        let shop = Arc::new(Storefront::open(config).await.unwrap());
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let shutdown = CancellationToken::new();
        let (serving, until) = (Arc::clone(&shop), shutdown.clone());
        let task = tokio::spawn(async move { serving.serve(listener, until).await });
        Self { postgres, shop, url, client: client(), shutdown, task }
    }

    /// Stops in order, with whatever streams are open.
    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        self.task.await.unwrap().unwrap();
    }

    pub(crate) fn request(&self, method: reqwest::Method, path: &str) -> reqwest::RequestBuilder {
        self.client.request(method, format!("{}{path}", self.url))
    }

    pub(crate) async fn get(&self, path: &str) -> Told {
        told(self.request(reqwest::Method::GET, path)).await
    }

    /// Asks until the page knows what the processes say: a busy machine may be slower than it waits.
    pub(crate) async fn get_told(&self, path: &str) -> Told {
        let mut told = self.get(path).await;
        testkit::server::until("the processes answered", PATIENCE, async || {
            if told.body.contains("Asking ") || told.body.contains("Asking…") {
                told = self.get(path).await;
                return false;
            }
            true
        })
        .await;
        told
    }

    /// Asks with a cart.
    pub(crate) async fn get_with_cart(&self, path: &str, cart: &str) -> Told {
        let request = self.request(reqwest::Method::GET, path);
        told(request.header(COOKIE, format!("storefront_cart={cart}"))).await
    }

    /// Sends a form as a page of the shop does.
    pub(crate) async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Told {
        let request = self.request(reqwest::Method::POST, path);
        told(request.header("sec-fetch-site", "same-origin").body(form(fields))).await
    }

    /// Sends the form of a cart, as its page has it, with some fields changed.
    pub(crate) async fn order(&self, cart: &str, changed: &[(&str, &str)]) -> Told {
        let fields = self.form_of(cart, changed).await;
        self.send(&fields).await
    }

    pub(crate) async fn form_of(
        &self,
        cart: &str,
        changed: &[(&str, &str)],
    ) -> BTreeMap<String, String> {
        let page = self.get_with_cart("/cart", cart).await;
        assert_eq!(page.status, 200, "{page:?}");
        let mut fields = inputs(&page.body);
        fields.extend(changed.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())));
        fields
    }

    pub(crate) async fn send(&self, fields: &BTreeMap<String, String>) -> Told {
        let fields: Vec<_> = fields.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        self.post("/orders", &fields).await
    }

    pub(crate) async fn count(&self, table: &str) -> i64 {
        self.postgres.value(&format!("SELECT count(*) FROM {table}")).await.parse().unwrap()
    }

    pub(crate) async fn stock(&self, product: i64) -> i64 {
        let sql = format!("SELECT stock FROM products WHERE id = {product}");
        self.postgres.value(&sql).await.parse().unwrap()
    }

    /// Returns the id of a product by its code.
    pub(crate) async fn product(&self, sku: &str) -> i64 {
        let sql = format!("SELECT id FROM products WHERE sku = '{sku}'");
        self.postgres.value(&sql).await.parse().unwrap()
    }
}

pub(crate) async fn told(request: reqwest::RequestBuilder) -> Told {
    let request = request.header("content-type", "application/x-www-form-urlencoded");
    let response = request.send().await.unwrap();
    let header = |name| {
        let value = response.headers().get(name).and_then(|value| value.to_str().ok());
        value.unwrap_or_default().to_owned()
    };
    let (location, cookie) = (header(LOCATION), header(SET_COOKIE));
    let status = response.status().as_u16();
    Told { status, location, cookie, body: response.text().await.unwrap() }
}

pub(crate) fn form(fields: &[(&str, &str)]) -> String {
    let encode =
        |text: &str| -> String { text.bytes().map(|byte| format!("%{byte:02X}")).collect() };
    let pairs = fields.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value)));
    pairs.collect::<Vec<_>>().join("&")
}

/// Reads the inputs of a page's checkout form.
fn inputs(page: &str) -> BTreeMap<String, String> {
    let Some((_, form)) = page.split_once("<form class=\"checkout\"") else {
        return BTreeMap::new();
    };
    let form = form.split("</form>").next().unwrap_or_default();
    let attribute = |tag: &str, name: &str| {
        let (_, rest) = tag.split_once(&format!(" {name}=\""))?;
        rest.split('"').next().map(str::to_owned)
    };
    let tags = form.split("<input").skip(1).filter_map(|tag| {
        let tag = tag.split('>').next()?;
        Some((attribute(tag, "name")?, attribute(tag, "value")?))
    });
    tags.collect()
}

pub(crate) fn client() -> reqwest::Client {
    // Connections are plain; a provider must be named all the same.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    reqwest::Client::builder()
        .use_preconfigured_tls(tls)
        .no_proxy()
        .redirect(Policy::none())
        .timeout(PATIENCE)
        .build()
        .unwrap()
}
