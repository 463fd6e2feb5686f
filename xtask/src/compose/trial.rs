//! What must be true of the running project: an order that a person places arrives in the warehouse,
//! also after a service was killed, and each arrives once.

use std::time::Duration;

use anyhow::{Context, bail, ensure};

use super::http::{ask, encoded};
use super::project::{Project, random};
use crate::shell::{program, run as run_command};

const ARRIVAL_LIMIT: Duration = Duration::from_secs(120);
const INTERVAL: Duration = Duration::from_millis(200);

/// What is killed, one after the other.
const KILLED: [&str; 3] = ["capture", "projector", "schema-registry-client"];

/// The shop's first product and its price in cents, as its migrations have them.
const PRODUCT: &str = "q1=1&c1=1250";

/// Runs the trial.
pub(crate) fn run(project: &Project<'_>) -> anyhow::Result<()> {
    let address = order(project)?;
    see(project, &address, 1)?;
    for (service, orders) in KILLED.into_iter().zip(2..) {
        let before = kill(project, service)?;
        // The shop sells while the service is away.
        let address = order(project)?;
        until_back(project, service, &before)?;
        see(project, &address, orders)?;
    }
    let there = project.psql("SELECT count(*) FROM orders")?;
    let here = warehouse(project)?.context("the warehouse does not answer")?;
    ensure!(there == here, "the source has {there} orders, the warehouse {here}");
    eprintln!("the source and the warehouse have {here} orders");
    Ok(())
}

/// Waits until the warehouse has that many orders.
fn see(project: &Project<'_>, address: &str, orders: u32) -> anyhow::Result<()> {
    let watch = Stopwatch::start();
    let wanted = Some(orders.to_string());
    until("the order is in the warehouse", ARRIVAL_LIMIT, || {
        Ok((warehouse(project)? == wanted).then_some(()))
    })?;
    eprintln!("{address} is in the warehouse after {:.1} s", watch.seconds());
    Ok(())
}

/// Places an order as the shop's page does, and returns the address of its receipt.
fn order(project: &Project<'_>) -> anyhow::Result<String> {
    let key = random()?;
    let body = format!("key={key}&{PRODUCT}&name=Ada&email=ada%40example.com");
    let headers = "Content-Type: application/x-www-form-urlencoded\r\n";
    let answer = ask(project.storefront, "POST /orders", headers, &body)?;
    let location = answer.lines().find_map(|line| line.strip_prefix("location: "));
    let receipt = location.filter(|address| address.starts_with("/orders/"));
    Ok(receipt.with_context(|| format!("the order was not taken: {answer}"))?.to_owned())
}

/// Asks the dashboard how many orders the warehouse has; `None` while it cannot tell.
fn warehouse(project: &Project<'_>) -> anyhow::Result<Option<String>> {
    const MARK: &str = "orders=";
    let sql = format!("SELECT '{MARK}' || count(*) FROM public_orders");
    let headers = format!("Authorization: Bearer {}\r\n", project.dashboard_token);
    let line = format!("GET /query?sql={}", encoded(&sql));
    let answer = ask(project.dashboard, &line, &headers, "")?;
    let counts = answer
        .split(MARK)
        .skip(1)
        .map(|rest| rest.chars().take_while(char::is_ascii_digit).collect::<String>());
    // The page shows the question too, where no number follows.
    Ok(counts.into_iter().find(|count| !count.is_empty()))
}

/// Kills a container's process as a crash would, and returns its id.
fn kill(project: &Project<'_>, service: &str) -> anyhow::Result<String> {
    let pid = project.pid(service)?;
    ensure!(pid != "0", "{service} does not run");
    run_command(program("kill", ["-9", &pid]))?;
    Ok(pid)
}

/// Waits until the restart policy has brought a service back, healthy.
fn until_back(project: &Project<'_>, service: &str, before: &str) -> anyhow::Result<()> {
    let watch = Stopwatch::start();
    until(&format!("{service} is back"), ARRIVAL_LIMIT, || {
        let pid = project.pid(service)?;
        let is_back = pid != "0" && pid != before && project.is_healthy(service);
        Ok(is_back.then_some(()))
    })?;
    eprintln!("{service} was killed, and is back after {:.0} s", watch.seconds());
    Ok(())
}

/// Asks again until there is an answer, for at most `limit`.
pub(crate) fn until<T>(
    what: &str,
    limit: Duration,
    mut ask: impl FnMut() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<T> {
    let watch = Stopwatch::start();
    let mut last = None;
    while watch.seconds() < limit.as_secs_f64() {
        match ask() {
            Ok(Some(answer)) => return Ok(answer),
            Ok(None) => last = None,
            Err(error) => last = Some(error),
        }
        #[expect(clippy::disallowed_methods, reason = "there is no runtime here")]
        std::thread::sleep(INTERVAL);
    }
    match last {
        Some(error) => Err(error.context(format!("waited for {limit:?}: {what}"))),
        None => bail!("waited for {limit:?}: {what}"),
    }
}

/// Tells how long something takes.
#[derive(Debug)]
#[expect(clippy::disallowed_types, reason = "there is no runtime here")]
pub(crate) struct Stopwatch(std::time::Instant);

impl Stopwatch {
    #[expect(clippy::disallowed_types, reason = "there is no runtime here")]
    pub(crate) fn start() -> Self {
        Self(std::time::Instant::now())
    }

    pub(crate) fn seconds(&self) -> f64 {
        self.0.elapsed().as_secs_f64()
    }
}
