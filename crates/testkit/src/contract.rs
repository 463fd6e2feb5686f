//! One contract suite per port: each law is a named function that takes a fixture, and a macro per
//! suite makes a test of each. Adding an adapter is implementing the fixture and one macro line.

pub mod log;
pub mod registry;
pub mod sink;
