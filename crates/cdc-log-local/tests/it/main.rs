//! The embedded log against the contract of event logs, and what it promises beyond.

#![expect(clippy::unwrap_used, reason = "a test panics where it cannot go on")]

mod contract;
mod damage;
mod durability;
mod ownership;
mod retention;
mod support;
