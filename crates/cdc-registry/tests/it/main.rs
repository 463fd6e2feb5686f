//! Integration tests of the registry.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod apicurio;
mod compatibility;
mod embedded;
mod parsing;
mod property;
mod refusal;
mod scripted;
mod semantic;
