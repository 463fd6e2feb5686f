//! The shop as people and browsers meet it, on a real database, beside a control endpoint that says
//! what a test wants it to say.

#![expect(clippy::unwrap_used, reason = "a test fails where it panics")]

mod world;

mod binary;
mod business;
mod buying;
mod guarding;
mod lab;
mod migrations;
mod tracing;
