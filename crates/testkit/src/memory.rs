//! In-memory adapters of the ports: first-class adapters without a disk, never mocks.
//!
//! Each keeps its durable part in a shared handle that outlives the adapter, so that a test can
//! drop an adapter at any await (a crash) and open another on what was durable by then.

pub mod codec;
pub mod group;
pub mod log;
pub mod registry;
pub mod sink;
pub mod source;

pub use codec::MemoryCodec;
pub use group::{MemoryGroup, MemoryMember};
pub use log::{MemoryLog, MemoryReader, MemoryWriter};
pub use registry::MemoryRegistry;
pub use sink::{MemorySink, MemoryStore};
pub use source::{MemoryDatabase, MemorySource, Statement};
