//! The simulation of the whole pipeline, with records as they really are: Avro bytes, headers, and
//! what only the headers carry.

use std::sync::Arc;

use cdc_codec::{CodecConfig, Decoder, Encoder};
use testkit::memory::MemoryRegistry;
use testkit::sim::{Plan, SimCodec};

#[derive(Default)]
struct Avro {
    registry: Arc<MemoryRegistry>,
}

impl SimCodec for Avro {
    type Encoder = Encoder<MemoryRegistry>;
    type Decoder = Decoder<MemoryRegistry>;

    fn encoder(&self) -> Self::Encoder {
        Encoder::new(CodecConfig::new("sim", "sim"), self.registry.clone())
    }

    fn decoder(&self) -> Self::Decoder {
        Decoder::new(self.registry.clone())
    }
}

/// Seeds without poison: the check of parked keys knows the keys of the in-memory codec only.
#[test]
fn a_hundred_seeds_hold_with_real_records() {
    let calm = (0..).filter(|seed| Plan::of(*seed).poison_rate == 0.0).take(100);
    let failures: Vec<String> =
        calm.filter_map(|seed| testkit::sim::run(seed, &Avro::default()).err()).collect();
    assert!(failures.is_empty(), "{}", failures[..failures.len().min(3)].join("\n"));
}
