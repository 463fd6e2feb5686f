//! The registry as others meet it: over HTTP, through restarts and outages, by real clients.

#![expect(clippy::unwrap_used, reason = "a test fails where it panics")]

mod world;

mod binary;
mod clients;
mod control;
mod kafka_store;
mod preview;
mod references;
mod refusals;
mod rest;
mod upstream;
mod users;
