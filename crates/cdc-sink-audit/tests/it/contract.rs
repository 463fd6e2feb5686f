//! The suite that every sink passes, but for one law: an update that leaves out a column of a row
//! never seen is recorded as it was sent; the fold refuses it (`entries`).

use cdc_model::TableSchema;
use cdc_sink_audit::{AuditSink, Entry};
use serde_json::Value as Json;
use tempfile::TempDir;
use testkit::contract::sink::SinkFixture;

use crate::world::config;

struct Fixture(TempDir);

impl SinkFixture for Fixture {
    type Sink = AuditSink;

    async fn open(&self) -> AuditSink {
        AuditSink::open(self.0.path(), config()).await.unwrap()
    }

    async fn rows(&self, sink: &mut AuditSink, table: &TableSchema) -> Vec<Vec<Option<String>>> {
        let text = |value: &Json| match value {
            Json::Null => None,
            Json::String(text) => Some(text.clone()),
            other => Some(other.to_string()),
        };
        let columns = |row: &Entry| table.columns.iter().map(|c| text(&row[&*c.name])).collect();
        let rows = sink.query_handle().rows(&table.name, 10_000).await.unwrap();
        let mut rows: Vec<Vec<_>> = rows.iter().map(columns).collect();
        rows.sort();
        rows
    }
}

testkit::sink_contract!(@ async { Fixture(tempfile::tempdir().unwrap()) },
    a_new_sink_holds_nothing
    rows_are_visible_after_ok
    the_same_batch_twice_counts_once
    an_overlapping_replay_counts_once
    offsets_survive_a_reopening
    a_gap_in_offsets_is_refused
    another_topic_of_the_same_name_is_refused
    order_per_key_is_kept_in_a_batch
    a_key_change_leaves_one_row
    an_absent_row_may_be_deleted
    an_unchanged_column_keeps_its_value
    an_unchanged_column_survives_a_key_change_in_one_batch
    a_truncate_empties_one_table
    a_truncate_need_not_tell_the_key
    a_column_may_be_added_midway
    without_a_key_a_delete_removes_one_of_equal_rows
    parked_records_move_with_the_offsets
    a_truncate_ends_parked_keys
    parked_records_are_listed_as_they_came
    a_settled_record_is_applied_once
    a_record_given_up_changes_nothing
    parked_records_are_settled_in_order
    a_dropped_apply_may_be_repeated
    a_newer_sink_fences_the_older);
