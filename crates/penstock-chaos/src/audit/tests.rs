//! The audit finds what it is there to find.

use cdc_model::{Headers, Partition, Topic};

use super::*;

const SINCE: Lsn = Lsn(100);

fn change(id: i64) -> Change {
    Change { op: 'c', id, v: Some(1) }
}

fn expected(ids: &[i64]) -> Vec<(Lsn, Change)> {
    ids.iter().map(|id| (Lsn(150), change(*id))).collect()
}

fn logged(ids: &[i64]) -> Vec<Logged> {
    ids.iter().map(|id| Logged { commit_lsn: Lsn(120), change: change(*id) }).collect()
}

#[test]
fn a_change_lost_doubled_or_out_of_order_is_found() {
    let expected = expected(&[1, 2, 3]);
    let is_equal = |ids: &[i64]| compare_changes("t", &logged(ids), &expected, SINCE).is_ok();
    assert!(is_equal(&[1, 2, 3]));
    for wrong in [&[1, 3][..], &[1, 2], &[2, 3], &[1, 2, 2, 3], &[1, 3, 2], &[1, 2, 3, 4], &[]] {
        assert!(!is_equal(wrong), "{wrong:?}");
    }
}

#[test]
fn what_a_snapshot_may_have_read_is_not_compared_one_by_one() {
    let mut expected = expected(&[1, 2]);
    expected.insert(0, (SINCE, change(9)));
    assert_eq!(compare_changes("t", &logged(&[1, 2]), &expected, SINCE).ok(), Some(2));
}

#[test]
fn an_identity_twice_or_out_of_order_is_found() {
    let record = |id: &'static str| {
        let mut headers = Headers::new();
        let value = id.as_bytes().into();
        headers.push(cdc_model::Header { name: Record::ID_HEADER.into(), value });
        LogRecord {
            source: TopicPartition { topic: Topic::new("t"), partition: Partition(0) },
            offset: Offset(0),
            timestamp_ms: 0,
            key: None,
            value: None,
            headers,
        }
    };
    let all_pass = |ids: &[&'static str]| {
        let mut seen = Seen::default();
        ids.iter().all(|id| seen.check(&record(id)).is_ok())
    };
    assert!(all_pass(&["x:S0/1:7:0:0:0", "x:0/A:0:0", "x:0/A:0:1", "x:0/A:1:0", "x:1/0:0:0"]));
    assert!(!all_pass(&["x:0/A:0:0", "x:0/A:0:0"]));
    assert!(!all_pass(&["x:0/A:1:0", "x:0/A:0:0"]));
    assert!(!all_pass(&["x:S0/1:7:0:0:0", "x:S0/1:7:0:0:0"]));
}

#[test]
fn a_row_that_differs_is_found() {
    let row = |v: &str| vec![Some("1".to_owned()), Some(v.to_owned())];
    let folded = Folded::from([((1, Some(2)), 1)]);
    assert!(compare_fold("t", folded.clone(), &vec![row("2")]).is_ok());
    assert!(compare_fold("t", folded.clone(), &vec![row("3")]).is_err());
    assert!(compare_fold("t", folded, &vec![row("2"), row("2")]).is_err());
    assert!(compare_rows("t", &vec![row("2")], &vec![row("3")]).is_err());
    assert!(compare_rows("t", &vec![row("2")], &Vec::new()).is_err());
}
