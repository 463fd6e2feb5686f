//! The block format, forwards, backwards, and under damage.

use cdc_model::{Placement, Topic};
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn bytes() -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..40).prop_map(Bytes::from)
}

fn headers() -> impl Strategy<Value = Headers> {
    let name = prop_oneof![
        Just(HeaderName::from(NAMES[1])),
        Just(HeaderName::from("")),
        "[a-zé]{1,8}".prop_map(HeaderName::from)
    ];
    let header = (name, bytes()).prop_map(|(name, value)| Header { name, value });
    vec(header, 0..4).prop_map(Headers::from_vec)
}

fn record() -> impl Strategy<Value = Record> {
    (proptest::option::of(bytes()), proptest::option::of(bytes()), headers()).prop_map(
        |(key, value, headers)| Record {
            topic: Topic::new("t"),
            placement: Placement::ByKey,
            key,
            value,
            headers,
            id: None,
        },
    )
}

fn build(records: &[Record]) -> Vec<u8> {
    let mut builder = BlockBuilder::new(-5, 0);
    for record in records {
        builder.push(record, None);
    }
    builder.finish()
}

proptest! {
    #[test]
    fn records_come_back_as_they_were(records in vec(record(), 1..20)) {
        let mut block = Block::open(build(&records).into()).unwrap();
        prop_assert_eq!(block.timestamp_ms(), -5);
        for record in records {
            let expected =
                BlockRecord { key: record.key, value: record.value, headers: record.headers };
            let mut passed_over = block.clone();
            prop_assert_eq!(block.next(), Some(expected));
            passed_over.skip().unwrap();
            prop_assert_eq!(passed_over.remaining(), block.remaining());
        }
        prop_assert_eq!(block.next(), None);
    }

    #[test]
    fn a_flipped_bit_is_noticed(records in vec(record(), 1..4), place: prop::sample::Index, bit in 0_u8..8) {
        let mut stored = build(&records);
        let place = place.index(stored.len());
        stored[place] ^= 1_u8 << bit;
        prop_assert!(Block::open(stored.into()).is_none());
    }

    #[test]
    fn no_bytes_make_it_panic(body in vec(any::<u8>(), 0..200), count: u32) {
        let mut stored = vec![VERSION, 0, 0, 0, 0];
        stored.extend(count.to_le_bytes());
        stored.extend([0; 8]);
        stored.extend(&body);
        let crc = crc32fast::hash(&stored[5..]);
        stored[1..5].copy_from_slice(&crc.to_le_bytes());
        if let Some(mut block) = Block::open(stored.into()) {
            let mut passed_over = block.clone();
            while block.next().is_some() {}
            while passed_over.skip().is_some() {}
        }
        let _ = Block::open(body.into());
    }
}

#[test]
fn the_identity_is_the_last_header() {
    let record = Record {
        topic: Topic::new("t"),
        placement: Placement::ByKey,
        key: None,
        value: None,
        headers: Headers::new(),
        id: None,
    };
    let mut builder = BlockBuilder::new(-5, 0);
    builder.push(&record, Some(b"i:0/1:2:0"));
    let read = Block::open(builder.finish().into()).unwrap().next().unwrap();
    let expected =
        Header { name: Record::ID_HEADER.into(), value: Bytes::from_static(b"i:0/1:2:0") };
    assert_eq!(read.headers.to_vec(), [expected]);
}
