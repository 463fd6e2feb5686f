//! A schema by its id, over HTTP on kept connections: what every consumer asks once, and many ask
//! at once when they start. Beside it a handler that answers the same bytes from memory, which is
//! what the HTTP server, the loopback and this client cost by themselves.
//!
//! The load is open: requests have their times whatever became of those before, and one that is
//! sent late is late from the time it should have been sent. So a stall is counted for everybody
//! who would have met it. Clients are threads with sockets of their own: the timers of an async
//! runtime are too coarse for parts of a millisecond.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use axum::Router;
use axum::http::header;
use bytes::Bytes;
use cdc_codec::{CodecConfig, Encoder};
use cdc_pipeline::port::{Encode as _, SchemaId, SchemaRegistry as _};
use cdc_registry::{Registry, RestConfig, subject};
use schema_registry_client::{Settings, build};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::latency::summary;
use crate::report::{Report, Run, note};
use crate::rows;

/// How much to ask.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Requests a second.
    #[arg(long, default_value_t = 2_000)]
    rate: u32,
    /// For how long; the first second is not counted.
    #[arg(long, default_value_t = 15)]
    seconds: u32,
    /// Over how many connections.
    #[arg(long, default_value_t = 8)]
    connections: u32,
    /// How often to repeat.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
}

const CONTROL: &str = "the same bytes from memory";
const CONTENT_TYPE: &str = "application/vnd.schemaregistry.v1+json";
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// Runs the benchmark.
pub(crate) async fn run(args: &Args) -> anyhow::Result<Report> {
    ensure!(args.connections > 0 && args.rate >= args.connections, "too many connections");
    ensure!(args.seconds > 1, "--seconds takes at least 2");
    let dir = tempfile::tempdir()?;
    let (shutdown, mut serving) = (CancellationToken::new(), JoinSet::new());
    let own = serve(dir.path(), None, &shutdown, &mut serving).await?;
    let (id, schema) = registered(own).await?;
    let front = serve(dir.path(), Some(own), &shutdown, &mut serving).await?;
    let path = format!("/schemas/ids/{}", id.0);
    let answer = Bytes::from(serde_json::json!({ "schema": schema }).to_string());
    let control = control(answer.clone(), &shutdown, &mut serving).await?;
    note(&format!("the answer has {} bytes", answer.len()));

    let Args { rate, seconds, connections, .. } = args;
    let title = format!(
        "registry: GET /schemas/ids/ID, {rate} requests/s for {seconds} s over {connections} \
         connections"
    );
    let mut report = Report::new(title).compared_with(CONTROL, "p99 ms");
    let legs = [
        (CONTROL, control),
        ("the registry on its own folder", own),
        ("the registry before another, id known", front),
        ("the same bytes from memory, again", control),
    ];
    for _ in 0..args.rounds {
        for (leg, address) in legs {
            let load = Load::new(address, &path, answer.clone(), args);
            report.add(tokio::task::spawn_blocking(move || load.run(leg)).await??);
        }
    }
    shutdown.cancel();
    while let Some(ended) = serving.join_next().await {
        ended??;
    }
    Ok(report)
}

async fn serve(
    dir: &Path,
    upstream: Option<SocketAddr>,
    shutdown: &CancellationToken,
    serving: &mut JoinSet<anyhow::Result<()>>,
) -> anyhow::Result<SocketAddr> {
    let name = if upstream.is_some() { "front" } else { "own" };
    let settings = Settings { data_dir: dir.join(name), ..Settings::default() };
    let settings = match upstream {
        Some(upstream) => settings.with_upstream(&format!("http://{upstream}")),
        None => settings,
    };
    let service = build(settings).await?;
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let (address, stop) = (listener.local_addr()?, shutdown.clone());
    serving.spawn(async move { service.serve(listener, stop).await });
    Ok(address)
}

/// Answers every request with the same bytes.
async fn control(
    answer: Bytes,
    shutdown: &CancellationToken,
    serving: &mut JoinSet<anyhow::Result<()>>,
) -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let (address, stop) = (listener.local_addr()?, shutdown.clone());
    let router = Router::new().fallback(move || {
        let answer = answer.clone();
        async move { ([(header::CONTENT_TYPE, CONTENT_TYPE)], answer) }
    });
    serving.spawn(async move {
        let serving = axum::serve(listener, router);
        Ok(serving.with_graceful_shutdown(stop.cancelled_owned()).await?)
    });
    Ok(address)
}

/// Registers what capture would, and returns the value's schema.
async fn registered(address: SocketAddr) -> anyhow::Result<(SchemaId, Arc<str>)> {
    let registry = Registry::rest(RestConfig::new(&format!("http://{address}")))?;
    let shared = Arc::new(registry.clone());
    let mut encoder = Encoder::new(CodecConfig::new("bench", "postgres"), shared);
    encoder.prepare(&rows::table()).await?;
    let subject = subject::value_subject("bench.public.bench");
    let latest = registry.latest(&subject).await?.context("a registered schema")?;
    Ok((latest.id, latest.schema))
}

/// One leg's requests.
#[derive(Clone)]
struct Load {
    address: SocketAddr,
    request: Bytes,
    answer: Bytes,
    rate: u32,
    count: u32,
    connections: u32,
}

impl Load {
    fn new(address: SocketAddr, path: &str, answer: Bytes, args: &Args) -> Self {
        let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nAccept: */*\r\n\r\n");
        let Args { rate, seconds, connections, .. } = *args;
        let count = rate * seconds;
        Self { address, request: request.into(), answer, rate, count, connections }
    }

    fn run(&self, leg: &'static str) -> anyhow::Result<Run> {
        // Every connection is there before the first request is due.
        let begin = Instant::now() + Duration::from_millis(200);
        let clients: Vec<_> = (0..self.connections)
            .map(|first| {
                let load = self.clone();
                std::thread::spawn(move || load.ask(first, begin))
            })
            .collect();
        let mut micros = Vec::new();
        let mut end = begin;
        for client in clients {
            let (seen, last) = client.join().ok().context("a client ended early")??;
            micros.extend(seen);
            end = end.max(last);
        }
        let answered = f64::from(self.count) / end.duration_since(begin).as_secs_f64();
        Ok(summary(leg, micros).with("answers/s", answered))
    }

    /// Asks every so often, and returns how long each answer took from when it was due.
    fn ask(&self, first: u32, begin: Instant) -> anyhow::Result<(Vec<i64>, Instant)> {
        let mut stream = TcpStream::connect(self.address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER_LIMIT))?;
        let (mut micros, mut buffer, mut now) = (Vec::new(), Vec::new(), begin);
        for number in (first..self.count).step_by(self.connections as usize) {
            let due = begin + Duration::from_secs(1) * number / self.rate;
            now = Instant::now();
            while now < due {
                std::thread::park_timeout(due - now);
                now = Instant::now();
            }
            stream.write_all(&self.request)?;
            self.read(&mut stream, &mut buffer)?;
            now = Instant::now();
            // The first second warms everything up.
            if number >= self.rate {
                micros.push(i64::try_from(now.duration_since(due).as_micros())?);
            }
        }
        Ok((micros, now))
    }

    /// Reads one answer to its end, and checks it.
    fn read(&self, stream: &mut TcpStream, buffer: &mut Vec<u8>) -> anyhow::Result<()> {
        buffer.clear();
        let mut chunk = [0; 16 << 10];
        loop {
            let count = stream.read(&mut chunk)?;
            ensure!(count > 0, "the connection was closed");
            buffer.extend_from_slice(chunk.get(..count).unwrap_or_default());
            let Some(head) = buffer.windows(4).position(|four| four == b"\r\n\r\n") else {
                continue;
            };
            let body = buffer.get(head + 4..).unwrap_or_default();
            if body.len() < self.answer.len() {
                continue;
            }
            if !buffer.starts_with(b"HTTP/1.1 200") || *body != *self.answer {
                bail!("another answer: {}", String::from_utf8_lossy(buffer));
            }
            return Ok(());
        }
    }
}
