//! The dashboard over HTTP, against real control endpoints that tell made-up states.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod commands;
mod guards;
mod limits;
mod pages;
mod scripted;
mod site;
mod stale;
