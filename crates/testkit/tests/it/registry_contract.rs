//! The in-memory registry.

use testkit::memory::MemoryRegistry;

testkit::registry_contract!(async { MemoryRegistry::default() });
