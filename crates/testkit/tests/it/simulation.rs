//! Five hundred seeds through the loops, on the in-memory codec.

use testkit::memory::MemoryCodec;

#[test]
fn five_hundred_seeds_hold() {
    let failures: Vec<String> = (0..500)
        .filter_map(|seed| testkit::sim::run(seed, &MemoryCodec::default()).err())
        .collect();
    assert!(
        failures.is_empty(),
        "{} seeds fail; replay one with `cargo x sim --seed N`\n{}",
        failures.len(),
        failures[..failures.len().min(3)].join("\n")
    );
}

/// Seed 2166: a second instance made an append with the number of one whose answer was lost.
#[test]
fn an_append_of_another_instance_is_not_taken_for_ours() {
    testkit::sim::run(2166, &MemoryCodec::default()).expect("holds");
}
