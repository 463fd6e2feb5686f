//! The client against a server that answers badly, late, or not at all.

use std::collections::VecDeque;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::Response;
use cdc_pipeline::port::{SchemaId, SchemaRegistry, Subject, Verdict};
use cdc_pipeline::{Classify, ErrorClass};
use cdc_registry::error::{Outage, Rule};
use cdc_registry::{Credentials, Error, Registry, RestClient, RestConfig};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

const SCHEMA: &str = r#"{"type":"record","name":"V","fields":[{"name":"id","type":"long"}]}"#;
const MEDIA_TYPE: &str = "application/vnd.schemaregistry.v1+json";

#[derive(Debug, Clone)]
enum Step {
    Answer(u16, &'static str),
    RetryAfter(u16, &'static str),
    /// Accepts the request and never answers.
    Silence,
}

use Step::{Answer, RetryAfter, Silence};

#[derive(Debug, Clone)]
struct Asked {
    line: String,
    accept: String,
    content_type: String,
    authorization: String,
    body: String,
}

#[derive(Debug, Clone, Default)]
struct Script {
    steps: Arc<Mutex<VecDeque<Step>>>,
    asked: Arc<Mutex<Vec<Asked>>>,
}

struct Server {
    url: String,
    script: Script,
    _tasks: JoinSet<()>,
}

impl Server {
    async fn start(steps: &[Step]) -> Self {
        let script = Script::default();
        script.steps.lock().unwrap().extend(steps.iter().cloned());
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let url = format!("http://{}/base", listener.local_addr().unwrap());
        let router = Router::new().fallback(answer).with_state(script.clone());
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, script, _tasks: tasks }
    }

    fn lines(&self) -> Vec<String> {
        self.script.asked.lock().unwrap().iter().map(|asked| asked.line.clone()).collect()
    }

    fn config(&self) -> RestConfig {
        config(&self.url)
    }

    fn client(&self) -> RestClient {
        RestClient::new(self.config()).unwrap()
    }
}

fn config(urls: &str) -> RestConfig {
    RestConfig {
        request_timeout: Duration::from_millis(500),
        backoff_initial: Duration::from_millis(1),
        backoff_max: Duration::from_millis(5),
        ..RestConfig::new(urls)
    }
}

async fn answer(State(script): State<Script>, request: Request) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, 1 << 20).await.unwrap();
    let header =
        |name: &str| parts.headers.get(name).map_or("", |value| value.to_str().unwrap()).to_owned();
    script.asked.lock().unwrap().push(Asked {
        line: format!("{} {}", parts.method, parts.uri),
        accept: header("accept"),
        content_type: header("content-type"),
        authorization: header("authorization"),
        body: String::from_utf8(body.to_vec()).unwrap(),
    });
    let step = script.steps.lock().unwrap().pop_front();
    let (status, body, retry) = match step.unwrap_or(Answer(500, "script is used up")) {
        Answer(status, body) => (status, body, false),
        RetryAfter(status, body) => (status, body, true),
        Silence => return std::future::pending().await,
    };
    let mut response = Response::builder().status(status).header("content-type", MEDIA_TYPE);
    if retry {
        response = response.header("retry-after", "3600");
    }
    response.body(Body::from(body)).unwrap()
}

fn subject() -> Subject {
    Subject::new("a/b ü-value")
}

#[tokio::test]
async fn requests_are_as_confluent_documents_them() {
    let server = Server::start(&[Answer(200, r#"{"id":7}"#)]).await;
    let id = server.client().register(&subject(), SCHEMA).await.unwrap();
    assert_eq!(id, SchemaId(7));
    let asked = server.script.asked.lock().unwrap().remove(0);
    assert_eq!(asked.line, "POST /base/subjects/a%2Fb%20%C3%BC-value/versions");
    assert_eq!((asked.accept.as_str(), asked.content_type.as_str()), (MEDIA_TYPE, MEDIA_TYPE));
    assert_eq!(asked.authorization, "");
    let body: serde_json::Value = serde_json::from_str(&asked.body).unwrap();
    assert_eq!(body, serde_json::json!({ "schema": SCHEMA }));
}

#[tokio::test]
async fn credentials_are_sent_and_never_shown() {
    let cases = [
        (Credentials::Basic { user: "u".into(), password: "p".into() }, "Basic dTpw"),
        (Credentials::Bearer("secret".into()), "Bearer secret"),
        (Credentials::None, "Basic dTpw"),
    ];
    for (credentials, expected) in cases {
        let server = Server::start(&[Answer(401, r#"{"error_code":40101}"#)]).await;
        let url = match credentials {
            Credentials::None => server.url.replace("http://", "http://u:p@"),
            _ => server.url.clone(),
        };
        let client = RestClient::new(RestConfig { credentials, ..config(&url) }).unwrap();
        let error = client.latest(&subject()).await.unwrap_err();
        assert_eq!((error.class(), error.code()), (ErrorClass::Fatal, Some("REGISTRY_AUTH")));
        assert_eq!(server.script.asked.lock().unwrap()[0].authorization, expected);
        assert_eq!(server.lines().len(), 1, "not tried again");
        let shown = format!("{error} {error:?} {client:?}");
        assert!(!shown.contains("secret") && !shown.contains("u:p@"), "{shown}");
    }
}

#[tokio::test]
async fn an_outage_is_tried_again_and_then_transient() {
    let bad = [
        Answer(500, r#"{"error_code":50001,"message":"Error in the backend data store"}"#),
        Answer(503, "<html>upstream</html>"),
        Answer(502, ""),
        RetryAfter(429, "slow down"),
        Answer(408, ""),
        Silence,
    ];
    for step in bad {
        let server = Server::start(&[step.clone(), step.clone(), Answer(200, r#"{"id":1}"#)]).await;
        let id = server.client().register(&subject(), SCHEMA).await;
        assert_eq!(id.unwrap(), SchemaId(1), "{step:?}");

        let server = Server::start(&[step.clone(), step.clone(), step.clone()]).await;
        let error = server.client().register(&subject(), SCHEMA).await.unwrap_err();
        assert_eq!(error.class(), ErrorClass::Transient, "{step:?}");
        assert_eq!(error.code(), Some("REGISTRY_UNAVAILABLE"));
        assert_eq!(server.lines().len(), 3, "bounded");
    }
}

#[tokio::test]
async fn what_is_no_registry_is_unknown_and_bounded() {
    let bad = [
        Answer(200, "<html>login</html>"),
        Answer(200, "{\"id\":"),
        Answer(200, "{}"),
        Answer(404, "<html>not here</html>"),
        Answer(302, ""),
    ];
    for step in bad {
        let server = Server::start(&[step.clone(), step.clone(), step.clone()]).await;
        let error = server.client().register(&subject(), SCHEMA).await.unwrap_err();
        assert_eq!(error.class(), ErrorClass::Unknown, "{step:?}");
        assert_eq!(error.code(), Some("REGISTRY_MALFORMED"));
        assert_eq!(server.lines().len(), 3);
    }
}

#[tokio::test]
async fn refusals_are_told_apart_by_their_code() {
    let refusals: [(u16, &str, Rule); 4] = [
        (422, r#"{"error_code":42205,"message":"m"}"#, Rule::ReadOnly),
        (422, r#"{"error_code":42208,"message":"m"}"#, Rule::InvalidSubject),
        (422, r#"{"error_code":42209,"message":"m"}"#, Rule::SchemaTooLarge),
        (
            405,
            r#"{"error_code":405,"message":"m"}"#,
            Rule::Other { code: 405, message: "m".into() },
        ),
    ];
    for (status, body, expected) in refusals {
        let server = Server::start(&[Answer(status, body)]).await;
        let error = server.client().register(&subject(), SCHEMA).await.unwrap_err();
        assert_eq!(error.class(), ErrorClass::Fatal);
        let Error::Refused { rule, .. } = error else { panic!("{error}") };
        assert_eq!(rule, expected);
    }
    let server = Server::start(&[Answer(422, r#"{"error_code":42201,"message":"m"}"#)]).await;
    let error = server.client().register(&subject(), SCHEMA).await.unwrap_err();
    assert_eq!(error.code(), Some("INVALID_SCHEMA"));
}

#[tokio::test]
async fn a_conflict_brings_reasons_and_changes() {
    for code in [r#"{"error_code":409,"message":"m"}"#, r#"{"error_code":40901,"message":"m"}"#] {
        let server = Server::start(&[
            Answer(409, code),
            Answer(200, r#"{"is_compatible":false,"messages":["because"]}"#),
            Answer(200, r#"{"subject":"s","id":1,"version":1,"schema":"{\"type\":\"record\",\"name\":\"V\",\"fields\":[]}"}"#),
        ])
        .await;
        let error = server.client().register(&subject(), SCHEMA).await.unwrap_err();
        assert_eq!(error.code(), Some("SCHEMA_INCOMPATIBLE"));
        let objection = error.objection().unwrap();
        assert_eq!(objection.reasons, ["because"]);
        assert_eq!(objection.changes, ["+ id: long, no default"]);
        assert_eq!(&*objection.schema, SCHEMA);
    }
}

#[tokio::test]
async fn nothing_there_is_an_answer() {
    let missing = r#"{"error_code":40401,"message":"Subject 's' not found."}"#;
    let server = Server::start(&vec![Answer(404, missing); 5]).await;
    let client = server.client();
    assert_eq!(client.latest(&subject()).await.unwrap(), None);
    assert_eq!(client.lookup(&subject(), SCHEMA).await.unwrap(), None);
    assert_eq!(client.check(&subject(), SCHEMA).await.unwrap(), Verdict::Compatible);
    assert_eq!(client.schema(SchemaId(1)).await.unwrap(), None);
    assert_eq!(client.compatibility(Some(&subject())).await.unwrap(), None);
}

#[tokio::test]
async fn another_address_takes_over_and_is_kept() {
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let refusing = format!("http://{}", silent.local_addr().unwrap());
    drop(silent);
    let broken = Server::start(&[Answer(503, "")]).await;
    let good = Server::start(&[Answer(200, r#"{"id":1}"#), Answer(200, r#"{"id":1}"#)]).await;
    let urls = format!("{refusing}, {}, {}", broken.url, good.url);
    let client = RestClient::new(config(&urls)).unwrap();
    client.register(&subject(), SCHEMA).await.unwrap();
    client.register(&subject(), SCHEMA).await.unwrap();
    assert_eq!((broken.lines().len(), good.lines().len()), (1, 2));
}

#[tokio::test]
async fn known_schemas_go_on_while_the_registry_is_away() {
    let server = Server::start(&[
        Answer(404, r#"{"error_code":40401}"#),
        Answer(404, r#"{"error_code":40401}"#),
        Answer(200, r#"{"id":5}"#),
    ])
    .await;
    let registry = Registry::rest(server.config()).unwrap();
    let id = registry.register(&subject(), SCHEMA).await.unwrap();
    // From here on every answer is 500.
    assert_eq!(registry.register(&subject(), SCHEMA).await.unwrap(), id);
    assert_eq!(&*registry.schema(id).await.unwrap(), SCHEMA);
    let other = registry.register(&subject(), "\"string\"").await.unwrap_err();
    assert_eq!(other.class(), ErrorClass::Transient);
    assert_eq!(registry.schema(SchemaId(6)).await.unwrap_err().class(), ErrorClass::Transient);
}

#[tokio::test]
async fn many_who_ask_for_one_schema_cause_one_request() {
    let body = r#"{"schema":"\"string\""}"#;
    let server = Server::start(&[Answer(200, body)]).await;
    let registry = Registry::rest(server.config()).unwrap();
    let mut tasks = JoinSet::new();
    for _ in 0..20 {
        let registry = registry.clone();
        tasks.spawn(async move { registry.schema(SchemaId(1)).await.unwrap() });
    }
    assert!(tasks.join_all().await.iter().all(|schema| &**schema == "\"string\""));
    assert_eq!(server.lines(), ["GET /base/schemas/ids/1"]);
}

#[tokio::test]
async fn an_emptied_or_exchanged_registry_is_a_halt() {
    let gone = r#"{"error_code":40403,"message":"Schema 1 not found"}"#;
    for found in [Answer(404, gone), Answer(200, r#"{"schema":"\"long\""}"#)] {
        let known = Answer(200, r#"{"schema":"\"string\""}"#);
        let server = Server::start(&[known, Answer(404, r#"{"error_code":40401}"#), found]).await;
        let registry = Registry::rest(server.config()).unwrap();
        registry.schema(SchemaId(1)).await.unwrap();
        let error = registry.register(&Subject::new("new"), SCHEMA).await.unwrap_err();
        assert_eq!((error.class(), error.code()), (ErrorClass::Fatal, Some("REGISTRY_IDS_RESET")));
        assert_eq!(server.lines().len(), 3, "nothing was registered");
    }
}

#[tokio::test]
async fn a_level_that_cannot_be_set_back_is_told() {
    let server = Server::start(&[
        Answer(200, r#"{"compatibilityLevel":"FULL"}"#),
        Answer(200, r#"{"compatibility":"NONE"}"#),
        Answer(200, r#"{"id":2}"#),
    ])
    .await;
    let error = server.client().accept(&subject(), SCHEMA).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Fatal);
    assert_eq!(error.code(), Some("REGISTRY_LEVEL_NOT_RESTORED"));
    assert!(error.remedy().unwrap().contains("FULL"));
}

#[tokio::test]
async fn accepting_sets_the_level_back_also_where_there_was_none_or_the_schema_is_refused() {
    let config = |method: &str| format!("{method} /base/config/a%2Fb%20%C3%BC-value");
    let lowered = Answer(200, r#"{"compatibility":"NONE"}"#);
    let unset = Answer(404, r#"{"error_code":40408,"message":"m"}"#);
    let server = Server::start(&[
        unset.clone(),
        lowered.clone(),
        Answer(200, r#"{"id":2}"#),
        Answer(200, r#""NONE""#),
        unset,
        lowered,
        Answer(422, r#"{"error_code":42205,"message":"m"}"#),
        Answer(200, r#""NONE""#),
    ])
    .await;
    assert_eq!(server.client().accept(&subject(), SCHEMA).await.unwrap(), SchemaId(2));
    let error = server.client().accept(&subject(), SCHEMA).await.unwrap_err();
    assert!(matches!(error, Error::Refused { rule: Rule::ReadOnly, .. }));
    let lines = server.lines();
    for lines in lines.chunks(4) {
        assert_eq!(
            [&lines[0], &lines[1], &lines[3]],
            [&config("GET"), &config("PUT"), &config("DELETE")]
        );
    }
    assert_eq!(lines.len(), 8);
}

#[tokio::test]
async fn an_outage_says_what_happened() {
    let server = Server::start(&[Answer(503, r#"{"error_code":50003,"message":"m"}"#)]).await;
    let client = RestClient::new(RestConfig { rounds_max: 1, ..server.config() }).unwrap();
    let error = client.latest(&subject()).await.unwrap_err();
    let Error::Unavailable { url, cause } = error else { panic!("{error}") };
    assert_eq!(url, server.url);
    assert_eq!(cause, Outage::Status { status: 503, code: Some(50003) });
}

#[test]
fn addresses_that_make_no_sense_are_refused_at_once() {
    for urls in ["", "registry:8081", "ftp://registry", "http://registry/?a=b", "http://a,,"] {
        let error = RestClient::new(RestConfig::new(urls)).unwrap_err();
        assert_eq!((error.class(), error.code()), (ErrorClass::Fatal, Some("REGISTRY_CONFIG")));
    }
    RestClient::new(RestConfig::new("https://registry:8081/")).unwrap();
    let ca_file = Some("/nowhere/ca.pem".into());
    let config = RestConfig { ca_file, ..RestConfig::new("https://registry") };
    assert!(RestClient::new(config).unwrap_err().to_string().contains("/nowhere/ca.pem"));
}
