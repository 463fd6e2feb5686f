//! Laws that hold for any bytes and any values: decoding never panics, and a value's text is what
//! a real server prints for it.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

#[path = "property/bytes.rs"]
mod any_bytes;
#[path = "property/oracle.rs"]
mod oracle;
