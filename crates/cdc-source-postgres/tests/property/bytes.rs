//! No bytes make decoding panic, and none are read past their end.

use std::path::PathBuf;

use bytes::Bytes;
use cdc_source_postgres::pgoutput::{Message, OldTuple, State, Tuple, decode};
use cdc_source_postgres::value::{RowPlan, TypeCatalog, TypePlan, copy_text};
use proptest::prelude::*;

/// Every built-in type with a parser of its own, and an array of each that may hold anything.
const OIDS: &[u32] = &[
    16, 17, 18, 20, 21, 23, 25, 26, 114, 700, 701, 1042, 1082, 1083, 1114, 1184, 1186, 1266, 1700,
    2950, 869, 1000, 1001, 1007, 1009, 1021, 1115, 1182, 1187, 1231, 2951,
];

fn plans() -> Vec<TypePlan> {
    OIDS.iter().map(|oid| TypePlan::compile(&TypeCatalog::default(), *oid, -1)).collect()
}

/// Looks into everything a message holds.
fn walk(message: &Message) {
    let tuples: Vec<&Tuple> = match message {
        Message::Insert(insert) => vec![&insert.new],
        Message::Update(update) => {
            update.old.iter().map(OldTuple::tuple).chain([&update.new]).collect()
        }
        Message::Delete(delete) => vec![delete.old.tuple()],
        _ => vec![],
    };
    let plans = plans();
    for tuple in tuples {
        let columns = tuple.columns().count();
        for width in [columns, columns + 1] {
            let row = RowPlan::new(plans.iter().cycle().take(width).cloned().collect());
            drop(row.row(tuple));
        }
    }
}

/// Every message of the captured streams.
fn captured() -> Vec<Bytes> {
    let folder: PathBuf = [env!("CARGO_MANIFEST_DIR"), "testdata", "pgoutput"].iter().collect();
    let mut messages = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "hex") {
            continue;
        }
        for line in std::fs::read_to_string(path).unwrap().lines() {
            let digits = line.split_once(' ').unwrap().1.as_bytes();
            let byte = |pair: &[u8; 2]| {
                u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()
            };
            messages.push(digits.as_chunks::<2>().0.iter().map(byte).collect());
        }
    }
    assert!(messages.len() > 100);
    messages
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

    #[test]
    fn any_bytes_decode_or_fail(
        tag in prop::sample::select(b"BCORYIUDTMSEcAbPKrpz".to_vec()),
        rest in prop::collection::vec(any::<u8>(), 0..200),
        in_stream_block: bool,
    ) {
        let data: Bytes = [&[tag][..], &rest].concat().into();
        let mut state = State { in_stream_block };
        if let Ok(message) = decode(data, &mut state) {
            walk(&message);
        }
    }

    #[test]
    fn any_text_of_any_type_parses_or_fails(text in "\\PC{0,40}", ascii in "[-+:. 0-9A-Za-z{},\"\\\\\\[\\]=]{0,40}") {
        for plan in plans() {
            for text in [&text, &ascii] {
                drop(plan.parse(&Bytes::from(text.clone())));
            }
        }
    }

    #[test]
    fn any_copy_line_splits_or_fails(line in prop::collection::vec(any::<u8>(), 0..80)) {
        drop(copy_text::split(&Bytes::from(line)));
    }

    #[test]
    fn copied_fields_read_back(fields in prop::collection::vec(prop::option::of(".{0,20}"), 1..6)) {
        let line: Vec<String> = fields.iter().map(|field| match field {
            None => "\\N".to_owned(),
            Some(text) => text
                .replace('\\', "\\\\")
                .replace('\t', "\\t")
                .replace('\n', "\\n")
                .replace('\r', "\\r"),
        }).collect();
        let line = Bytes::from(format!("{}\n", line.join("\t")));
        let expected: Vec<_> = fields.into_iter().map(|field| field.map(Bytes::from)).collect();
        prop_assert_eq!(copy_text::split(&line), Ok(expected));
    }
}

#[test]
fn captured_messages_cut_or_changed_anywhere_decode_or_fail() {
    for message in captured() {
        for in_stream_block in [false, true] {
            let try_decode = |data: Bytes| {
                if let Ok(message) = decode(data, &mut State { in_stream_block }) {
                    walk(&message);
                }
            };
            // Every byte of short messages, a spread of long ones.
            let step = message.len() / 200 + 1;
            for at in (0..message.len()).step_by(step) {
                try_decode(message.slice(..at));
                for change in [0x00, 0x01, 0x7F, 0x80, 0xFF] {
                    let mut changed = message.to_vec();
                    changed[at] ^= change;
                    try_decode(changed.into());
                    let mut changed = message.to_vec();
                    changed[at] = change;
                    try_decode(changed.into());
                }
            }
        }
    }
}
