//! The admin endpoints, asked over HTTP.

use std::net::SocketAddr;

use prometheus::{IntGauge, Registry};
use service_kit::admin::{Admin, AdminError, AdminState};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

async fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).await.expect("connecting");
    let request = format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("asking");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    (status.expect("a status code"), body.to_owned())
}

#[tokio::test]
async fn endpoints_tell_health_readiness_and_metrics() {
    let admin = Admin::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = admin.address();
    let metrics = Registry::new();
    let gauge = IntGauge::new("penstock_lag_records", "Records behind.").unwrap();
    metrics.register(Box::new(gauge.clone())).unwrap();
    let state = AdminState::new(|| Err("snapshot: 40 %".to_owned()), metrics)
        .with_refresh(move || gauge.set(7));
    let shutdown = CancellationToken::new();
    let ask = async {
        assert_eq!(get(address, "/healthz").await, (200, "ok\n".to_owned()));
        assert_eq!(get(address, "/readyz").await, (503, "snapshot: 40 %\n".to_owned()));
        let (status, text) = get(address, "/metrics").await;
        assert_eq!(status, 200);
        assert!(text.contains("penstock_lag_records 7"), "{text}");
        shutdown.cancel();
    };
    let (served, ()) = tokio::join!(admin.serve(state, shutdown.clone()), ask);
    served.unwrap();
}

#[tokio::test]
async fn a_taken_port_is_named_with_the_way_out() {
    let first = Admin::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let error = Admin::bind(first.address()).await.unwrap_err();
    assert!(matches!(error, AdminError::InUse { .. }));
    let port = first.address().port().to_string();
    assert!(error.to_string().contains(&port));
    assert!(error.remedy().unwrap().contains("--listen"));
}
