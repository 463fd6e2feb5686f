//! Where every service takes its memory from, C code (librdkafka) included.
//!
//! glibc keeps an arena for each thread, and in each what a burst left there; jemalloc gives it back.
//! `.cargo/config.toml` says how soon, `docs/benchmarks.md` what it makes.

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;
