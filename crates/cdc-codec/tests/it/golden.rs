//! Against what Debezium emitted: the events that a scenario's SQL makes, encoded in every format.
//! The same scenarios from a real server are in the tests of `penstock`.

use cdc_codec::Format;
use testkit::golden::{self, Scenario, Written};

use crate::golden_data;
use crate::harness::{Bench, Script};

fn run(scenario: &Scenario, script: &Script) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let formats = [
        (golden::Format::Avro, Format::Avro),
        (golden::Format::Json, Format::Json),
        (golden::Format::JsonWithSchema, Format::JsonWithSchema),
    ];
    for (golden, format) in formats {
        runtime.block_on(async {
            let mut bench = Bench::new(&scenario.prefix(golden), &scenario.database(), format);
            let records = bench.encode(&script.items).await;
            let written: Vec<Written> = records.into_iter().map(Written::from).collect();
            scenario.compare(golden, &written, &*bench.registry).await;
        });
    }
}

#[test]
fn inventory_is_as_debezium_writes_it() {
    run(&Scenario::inventory(), &golden_data::inventory());
}

#[test]
fn toast_and_keys_are_as_debezium_writes_them_but_for_invented_keys() {
    run(&Scenario::toast_keys(), &golden_data::toast_keys());
}

#[test]
fn truncates_and_messages_are_as_debezium_writes_them() {
    run(&Scenario::truncate_messages(), &golden_data::truncate_messages());
}

#[test]
fn transactions_are_as_debezium_writes_them_but_for_their_metadata() {
    run(&Scenario::transactions(), &golden_data::transactions());
}

#[test]
fn numeric_types_are_as_debezium_writes_them_but_for_what_it_invents() {
    run(&Scenario::types_numeric(), &golden_data::types_numeric());
}

#[test]
fn temporal_types_are_as_debezium_writes_them_but_for_infinite_and_early_dates() {
    run(&Scenario::types_temporal(), &golden_data::types_temporal());
}

#[test]
fn other_types_are_as_debezium_writes_them_but_for_nested_arrays() {
    run(&Scenario::types_misc(), &golden_data::types_misc());
}
