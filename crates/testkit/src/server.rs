//! Real servers for tests: each is started by the test's own code on a free loopback port, in a
//! temporary folder, and stopped when its value is dropped.
//!
//! # Invariants
//! - Nothing outlives the test process, however that ends: the kernel signals each server when the
//!   thread that waits for it dies, and a janitor removes the folders ([`scratch`]).
//! - Only processes started here are signalled, by process id, and only until they were reaped.
//!
//! # Failure
//! A server that cannot start ends the test: everything here panics with the server's own log.
//! What is missing is fetched by `scripts/bootstrap test`.
//!
//! # Not here
//! Paused clocks: real servers need real time.
#![expect(clippy::missing_panics_doc, reason = "a server that cannot start ends the test")]

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::Mutex;
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tokio::time::Instant;

pub mod apicurio;
pub mod deps;
pub mod kafka;
pub mod postgres;
pub mod process;
pub mod scratch;

pub use process::ServerProcess;

/// Below the range the kernel takes outgoing ports from, so that a stopped server finds its port
/// free when it starts again.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Returns a loopback port that nothing listens on and that this process was not given before.
pub fn free_port() -> u16 {
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    let mut rng = SmallRng::from_os_rng();
    for _ in 0..1_000 {
        let port = rng.random_range(PORTS);
        let is_free = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
        if is_free && GIVEN.lock().expect("invariant: never poisoned").insert(port) {
            return port;
        }
    }
    panic!("no free port in {PORTS:?}");
}

/// Waits until `condition` holds, asking every 20 ms; panics with `what` after `limit`.
pub async fn until(what: &str, limit: Duration, mut condition: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + limit;
    while !condition().await {
        assert!(Instant::now() < deadline, "waited {limit:?} in vain: {what}");
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

/// Returns whether something accepts connections on a loopback port.
async fn accepts(port: u16) -> bool {
    tokio::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.is_ok()
}

#[cfg(test)]
mod tests;
