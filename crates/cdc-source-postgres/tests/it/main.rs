//! Tests against real servers, PostgreSQL 15 and 18.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod exactness;
mod guard_position;
mod harness;
mod pgoutput_fixtures;
mod pgoutput_render;
mod preflight_server;
mod snapshot_resume;
mod stream_changes;
mod stream_session;
mod wire_connect;
mod wire_replication;
