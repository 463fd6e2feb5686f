//! The services as separate processes around a real PostgreSQL and a real Kafka.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends there")]

mod services;
mod world;
