//! HTTP Basic: who may ask, what the others are told, and our own client with a password.

use std::io::Write as _;
use std::process::{Command, Stdio};

use cdc_pipeline::port::{SchemaRegistry as _, Subject};
use cdc_pipeline::{Classify as _, ErrorClass};
use cdc_registry::{Registry, RestConfig};
use schema_registry_client::Settings;

use crate::world::{A, Running, client, embedded};

fn line(user: &str, password: &str) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_schema-registry-client"));
    command.args(["--hash-password", user]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(format!("{password}\n").as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn only_users_are_let_in() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("users");
    std::fs::write(&file, line("capture", "p:w ü") + &line("other", "second")).unwrap();
    let settings = Settings { users_file: Some(file), ..embedded(&dir.path().join("data")) };
    let registry = Running::start(settings).await;

    let ask = |path: &str| client().get(format!("{}{path}", registry.url()));
    for request in [
        ask("/subjects"),
        ask("/subjects").basic_auth("capture", Some("second")),
        ask("/subjects").basic_auth("nobody", Some("second")),
        ask("/subjects").bearer_auth("second"),
        ask("/metrics"),
        ask("/nothing/here"),
    ] {
        let told = request.send().await.unwrap();
        assert_eq!(told.status(), 401);
        assert!(told.headers()["www-authenticate"].to_str().unwrap().starts_with("Basic realm="));
        let body = told.text().await.unwrap();
        assert_eq!(body, r#"{"error_code":401,"message":"Unauthorized"}"#);
    }
    for request in [
        ask("/healthz"),
        ask("/readyz"),
        ask("/subjects").basic_auth("capture", Some("p:w ü")),
        ask("/subjects").basic_auth("capture", Some("p:w ü")),
        ask("/metrics").basic_auth("other", Some("second")),
    ] {
        assert_eq!(request.send().await.unwrap().status(), 200);
    }

    let url = |user: &str| format!("http://{user}@{}", registry.address);
    let ours = Registry::rest(RestConfig::new(&url("capture:p%3Aw%20%C3%BC"))).unwrap();
    let subject = Subject::new("s");
    let id = ours.register(&subject, A).await.unwrap();
    assert_eq!(&*ours.schema(id).await.unwrap(), A);
    let wrong = Registry::rest(RestConfig::new(&url("capture:p"))).unwrap();
    let error = wrong.latest(&subject).await.unwrap_err();
    assert_eq!((error.class(), error.code()), (ErrorClass::Fatal, Some("REGISTRY_AUTH")));
    assert!(error.remedy().is_some());

    // Another instance before this one has a password of its own.
    let front = embedded(&dir.path().join("front")).with_upstream(&url("other:second"));
    let front = Running::start(front).await;
    assert_eq!(front.register("s", A).await, u64::from(id.0));
    front.stop().await;
    registry.stop().await;
}

#[test]
fn who_may_ask_must_be_thought_of_before_others_can() {
    let dir = tempfile::tempdir().unwrap();
    let run = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_schema-registry-client"));
        command.current_dir(dir.path()).args(args).stdin(Stdio::null());
        let output = command.env("PENSTOCK_REGISTRY_CONTROL__LISTEN", "0.0.0.0:0").output();
        let output = output.unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, text) = run(&["--listen", "0.0.0.0:0"]);
    assert_eq!(code, Some(64), "{text}");
    assert!(text.contains("could change schemas") && text.contains("users_file"), "{text}");
    let (code, text) = run(&["--listen", "127.0.0.1:0"]);
    assert_eq!(code, Some(64), "{text}");
    assert!(text.contains("control.token.file"), "{text}");
    let (code, text) = run(&["--hash-password", "a:b"]);
    assert_eq!(code, Some(64), "{text}");
}
