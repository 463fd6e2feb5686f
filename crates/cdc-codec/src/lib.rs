//! Change events as records and back: Debezium's envelope in Avro, JSON, or JSON with schema.
//!
//! [`Encoder`] compiles a plan for each table's definition, registers its schemas, and writes
//! events by it; [`Decoder`] compiles a plan for each schema id and reads records by it. Both are
//! pure but for the registry.
//!
//! # Laws
//! - `decode(encode(e)) == e`, with whatever the envelope cannot hold in headers of our own
//!   ([`header`]). What a decoded event's table cannot know is listed at [`Decoder`].
//! - No bytes make a decoder panic or allocate beyond a small multiple of their length.
//! - Other consumers see what Debezium 3.7 writes, except for what
//!   `docs/debezium-compatibility.md` lists.
//!
//! Start reading at [`Encoder::encode`](cdc_pipeline::port::Encode::encode).

mod avro;
mod calendar;
mod config;
mod connect;
mod decimal;
mod decode;
mod encode;
mod error;
mod exact;
pub mod header;
mod json;
mod name;
pub mod text;
mod wire;

pub use config::{CodecConfig, Format};
pub use decode::Decoder;
pub use encode::Encoder;
pub use error::{Error, EventError, RecordError};
